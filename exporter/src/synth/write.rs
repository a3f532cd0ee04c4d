//! Writes a synthetic checkpoint as a safetensors file, in bounded memory.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::{process, thread};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::error::SynthError;
use super::preset::Preset;
use super::values::Rule;
use crate::config::{Architecture, Backbone};
use crate::keys::{Widths, expected};
use crate::tensor::DType;

/// Elements that are made, held and written at once.
const PIECE: usize = 1 << 20;

/// Elements below which another thread costs more than it saves.
const SHARE: usize = 1 << 16;

/// Threads that fill a piece; more would only wait for the disk.
const MAX_THREADS: usize = 4;

/// Writes the checkpoint of an official model: every key of the official state dict, with the official shapes and
/// types. It is written beside `path` under a temporary name and renamed when it is whole; about 5 MB of memory are
/// used. `progress` hears after each piece how many bytes of how many are done.
///
/// # Errors
/// The system refuses the bytes; nothing is left behind then.
pub fn write(
    preset: Preset,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), SynthError> {
    let arch = preset.architecture();
    write_model(&arch, &Widths::official(&arch), path, progress)
}

/// As [`write()`] for any dims.
///
/// # Errors
/// As [`write()`]; also where the dims are absurdly large.
pub fn write_model(
    arch: &Architecture,
    widths: &Widths,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), SynthError> {
    let tensors = plan(arch, widths, path)?;
    let header = header(&tensors, path)?;
    let data: u64 = tensors.iter().map(|t| t.bytes as u64).sum();
    let total = header.len() as u64 + data;
    let refused = |source| SynthError::Write {
        path: path.to_owned(),
        source,
    };
    let partial = Partial(partial_path(path)?);
    let mut out = File::create_new(&partial.0).map_err(refused)?;
    out.write_all(&header).map_err(refused)?;
    let mut done = header.len() as u64;
    progress(done, total);
    let mut buffer = Vec::new();
    for tensor in &tensors {
        let size = tensor.dtype.size_bytes();
        let elements = tensor.bytes / size;
        for start in (0..elements).step_by(PIECE) {
            buffer.resize((elements - start).min(PIECE) * size, 0);
            fill(tensor, start, &mut buffer).map_err(refused)?;
            out.write_all(&buffer).map_err(refused)?;
            done += buffer.len() as u64;
            progress(done, total);
        }
    }
    drop(out);
    fs::rename(&partial.0, path).map_err(refused)
}

/// The name under which [`write()`] writes `path` until it is whole.
///
/// # Errors
/// `path` names no file.
pub fn partial_path(path: &Path) -> Result<PathBuf, SynthError> {
    let name = path.file_name().ok_or_else(|| SynthError::NoFileName {
        path: path.to_owned(),
    })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.partial", process::id()));
    Ok(path.with_file_name(hidden))
}

/// The file while it is written; removed when this is dropped, unless it was renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing to remove; after a failure the cause is reported, not this.
        let _ = fs::remove_file(&self.0);
    }
}

/// A tensor of the file.
pub(super) struct Tensor {
    pub(super) key: String,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    bytes: usize,
    source: Source,
}

/// Where a tensor's values come from.
enum Source {
    /// The rule of [`super::values`].
    Rule(Rule),
    /// The index table of a window (time, height, width).
    PositionIndex([usize; 3]),
}

/// All tensors in the order of the file: the wider type first, so that each begins at a multiple of its size.
pub(super) fn plan(
    arch: &Architecture,
    widths: &Widths,
    path: &Path,
) -> Result<Vec<Tensor>, SynthError> {
    let mut total = 0usize;
    let mut tensors = Vec::new();
    for (key, entry) in expected(arch, widths) {
        let (dtype, shape) = (entry.dtype, entry.shape);
        let bytes = shape
            .iter()
            .try_fold(dtype.size_bytes(), |n, side| n.checked_mul(*side));
        let sum = bytes.and_then(|n| total.checked_add(n));
        let (Some(bytes), Some(sum)) = (bytes, sum) else {
            let path = path.to_owned();
            return Err(SynthError::TooLarge { path, key, shape });
        };
        total = sum;
        let source = match &arch.backbone {
            Backbone::VideoSwin(swin) if dtype == DType::I64 => Source::PositionIndex(swin.window),
            _ => Source::Rule(Rule::of(&last_name(&key, arch), &shape)),
        };
        tensors.push(Tensor {
            key,
            dtype,
            shape,
            bytes,
            source,
        });
    }
    tensors.sort_by_key(|t| Reverse(t.dtype.size_bytes()));
    Ok(tensors)
}

/// The last name that the tensor `key` has in the official state dict. Some heads are one tensor under several names;
/// the official model is filled name by name, so what was drawn for the last name is what it computes with.
fn last_name(key: &str, arch: &Architecture) -> String {
    if arch.with_box_refine {
        if key.starts_with("bbox_embed.") {
            return format!("transformer.decoder.{key}");
        }
        return key.to_owned();
    }
    // Without refinement all levels share one box head and one score head.
    let last = arch.transformer.dec_layers.saturating_sub(1);
    for head in ["bbox_embed", "class_embed"] {
        let level = key.strip_prefix(head).and_then(|k| k.strip_prefix('.'));
        if let Some((_, rest)) = level.and_then(|k| k.split_once('.')) {
            return format!("{head}.{last}.{rest}");
        }
    }
    key.to_owned()
}

/// Length, JSON, and spaces up to a multiple of 8 bytes.
fn header(tensors: &[Tensor], path: &Path) -> Result<Vec<u8>, SynthError> {
    let invalid = |reason: String| SynthError::Header {
        path: path.to_owned(),
        reason,
    };
    let mut offset = 0;
    let infos = tensors.iter().map(|tensor| {
        let begin = offset;
        offset += tensor.bytes;
        let info = TensorInfo {
            dtype: match tensor.dtype {
                DType::I64 => Dtype::I64,
                _ => Dtype::F32,
            },
            shape: tensor.shape.clone(),
            data_offsets: (begin, offset),
        };
        (tensor.key.clone(), info)
    });
    let metadata =
        Metadata::new(None, infos.collect()).map_err(|error| invalid(error.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|error| invalid(error.to_string()))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}

/// Fills `buffer` with the tensor's elements from flat index `start` on, shared among threads.
fn fill(tensor: &Tensor, start: usize, buffer: &mut [u8]) -> io::Result<()> {
    let size = tensor.dtype.size_bytes();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = (buffer.len() / size)
        .div_ceil(threads.min(MAX_THREADS))
        .max(SHARE);
    thread::scope(|scope| {
        let mut parts = buffer.chunks_mut(share * size).zip(0usize..);
        let first = parts.next();
        for (part, i) in parts {
            let work = move || tensor.source.fill((start + i * share) as u64, part);
            thread::Builder::new().spawn_scoped(scope, work)?;
        }
        if let Some((part, _)) = first {
            tensor.source.fill(start as u64, part);
        }
        Ok(())
    })
}

impl Source {
    /// Fills `bytes` with the elements from flat index `start` on, little-endian.
    fn fill(&self, start: u64, bytes: &mut [u8]) {
        match self {
            Self::Rule(rule) => {
                let (cells, _) = bytes.as_chunks_mut::<4>();
                for (i, cell) in (start..).zip(cells) {
                    *cell = rule.at(i).to_le_bytes();
                }
            }
            Self::PositionIndex(window) => {
                let (cells, _) = bytes.as_chunks_mut::<8>();
                for (i, cell) in (start..).zip(cells) {
                    *cell = position_index(*window, i).to_le_bytes();
                }
            }
        }
    }
}

/// Element `i` of the `[N, N]` table, N tokens in a window, of the row in the bias table that a query token (outer axis)
/// uses for a key token: their distances in time, height and width, shifted to start at 0, as the digits of one number
/// (`WindowAttention3D` in the official `video_swin_transformer.py`).
pub(super) fn position_index(window: [usize; 3], i: u64) -> i64 {
    let [frames, height, width] = window.map(|side| side as i64);
    let tokens = (frames * height * width).max(1);
    let place = |token: i64| {
        (
            token / (height * width),
            token / width % height,
            token % width,
        )
    };
    let (query, key) = (place(i as i64 / tokens), place(i as i64 % tokens));
    let shifted = |query: i64, key: i64, side: i64| query - key + side - 1;
    let time = shifted(query.0, key.0, frames);
    let row = shifted(query.1, key.1, height);
    let column = shifted(query.2, key.2, width);
    (time * (2 * height - 1) + row) * (2 * width - 1) + column
}
