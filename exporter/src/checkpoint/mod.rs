//! Checkpoints as lazy tensors by name: PyTorch zip and legacy files, and safetensors.
//!
//! Nothing in a checkpoint is ever executed, and nothing is read before it is asked for. Bytes come
//! by positional reads: memory maps would need `unsafe`, and fault when a file shrinks under them.

mod convert;
mod error;
mod safetensors;
mod torch;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use error::CheckpointError;

use crate::digest::hex;
use crate::tensor::DType;

/// Result of reading.
pub type Result<T> = std::result::Result<T, CheckpointError>;

/// Container of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `torch.save` since PyTorch 1.6: a zip archive.
    TorchZip,
    /// `torch.save` before PyTorch 1.6: a stream of pickles.
    TorchLegacy,
    /// safetensors.
    Safetensors,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TorchZip => "PyTorch zip",
            Self::TorchLegacy => "PyTorch legacy",
            Self::Safetensors => "safetensors",
        })
    }
}

/// Element type and shape of a checkpoint tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type in the file.
    pub dtype: DType,
    /// Axes, outermost first.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Number of elements; readers refuse shapes whose number overflows.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

enum Reader {
    Torch(torch::Tensors),
    Safetensors(safetensors::Tensors),
}

/// An open checkpoint.
pub struct Checkpoint {
    path: PathBuf,
    format: Format,
    size_bytes: u64,
    tensors: BTreeMap<String, TensorInfo>,
    reader: Reader,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, {} tensors)",
            self.path.display(),
            self.format,
            self.tensors.len()
        )
    }
}

impl Checkpoint {
    /// Opens a checkpoint, telling its format from its contents. Names lose a `module.` that all of
    /// them carry; a state dict may lie bare or under `model_state_dict`, `model` or `state_dict`.
    ///
    /// # Errors
    /// The file cannot be read, is truncated or corrupt, is no checkpoint, or holds no tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| CheckpointError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if !meta.is_file() {
            return Err(CheckpointError::NotACheckpoint {
                path: path.to_owned(),
                reason: "it is not a regular file".to_owned(),
            });
        }
        let mut head = Vec::new();
        let head_reader = Read::by_ref(&mut file).take(16);
        { head_reader }.read_to_end(&mut head).map_err(io)?;
        let (format, reader, tensors) = if safetensors::looks_like(&head) {
            let (reader, tensors) = safetensors::open(path, file, meta.len())?;
            (Format::Safetensors, Reader::Safetensors(reader), tensors)
        } else {
            let (format, reader, tensors) = torch::open(path, &head, meta.len())?;
            (format, Reader::Torch(reader), tensors)
        };
        Ok(Self {
            path: path.to_owned(),
            format,
            size_bytes: meta.len(),
            tensors,
            reader,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The container.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Length of the file.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.tensors
            .get(name)
            .ok_or_else(|| CheckpointError::MissingKey {
                path: self.path.clone(),
                key: name.to_owned(),
            })
    }

    /// Values of a tensor, row-major, converted to float32.
    ///
    /// # Errors
    /// The tensor is missing or cannot be read.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let info = self.info(name)?;
        let bytes = self.bytes(name, 0..info.elements())?;
        Ok(convert::to_f32(info.dtype, &bytes))
    }

    /// Values of an integer tensor, row-major.
    ///
    /// # Errors
    /// The tensor is missing, holds no integers, or cannot be read.
    pub fn read_i64(&self, name: &str) -> Result<Vec<i64>> {
        let info = self.info(name)?;
        let bytes = self.bytes(name, 0..info.elements())?;
        convert::to_i64(info.dtype, &bytes).ok_or_else(|| CheckpointError::DType {
            path: self.path.clone(),
            key: name.to_owned(),
            got: info.dtype,
        })
    }

    /// Writes the given elements of a tensor as little-endian float32, in bounded pieces.
    ///
    /// # Errors
    /// The tensor is missing, cannot be read, or `out` refuses the bytes.
    pub fn copy_f32(&self, name: &str, elements: Range<usize>, out: &mut dyn Write) -> Result<()> {
        // Small enough to stay in a core's own cache from reading over hashing to writing.
        const PIECE: usize = 1 << 16;
        let info = self.info(name)?;
        let write = |out: &mut dyn Write, bytes: &[u8]| {
            out.write_all(bytes).map_err(CheckpointError::Write)
        };
        let mut emit = |bytes: &[u8]| {
            if info.dtype == DType::F32 {
                return write(out, bytes);
            }
            let values = convert::to_f32(info.dtype, bytes);
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            write(out, &bytes)
        };
        match &self.reader {
            Reader::Torch(_) => {
                let size = info.dtype.size_bytes();
                let bytes = self.bytes(name, elements)?;
                bytes.chunks(PIECE * size).try_for_each(&mut emit)
            }
            Reader::Safetensors(reader) => {
                let mut start = elements.start;
                let mut buffer = Vec::new();
                while start < elements.end {
                    let end = elements.end.min(start + PIECE);
                    reader.read_into(name, info, start..end, &mut buffer)?;
                    emit(&buffer)?;
                    start = end;
                }
                Ok(())
            }
        }
    }

    fn bytes(&self, name: &str, elements: Range<usize>) -> Result<Vec<u8>> {
        let info = self.info(name)?;
        match &self.reader {
            Reader::Torch(reader) => reader.bytes(name, info, elements),
            Reader::Safetensors(reader) => {
                let mut buffer = Vec::new();
                reader.read_into(name, info, elements, &mut buffer)?;
                Ok(buffer)
            }
        }
    }

    /// What tells this checkpoint from another one: SHA-256, in hexadecimal, over every tensor's name,
    /// type, shape, and up to three stretches of [`STRETCH_BYTES`] of its data (start, middle, end).
    ///
    /// Equal weights have equal fingerprints in whatever container they lie. Hashing every byte would
    /// cost more than all else that an export does; training moves every tensor as a whole.
    ///
    /// # Errors
    /// A tensor cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for (name, info) in &self.tensors {
            hash.update(format!("{name}\0{}{:?}\0", info.dtype, info.shape));
            let size = info.dtype.size_bytes();
            let ranges = stretches(info.elements(), STRETCH_BYTES / size);
            if let Reader::Torch(_) = self.reader {
                // Its reader reads whole tensors, so one read has to serve.
                let all = self.bytes(name, 0..info.elements())?;
                for range in ranges {
                    hash.update(&all[range.start * size..range.end * size]);
                }
                continue;
            }
            for range in ranges {
                hash.update(self.bytes(name, range)?);
            }
        }
        Ok(hex(&hash.finalize()))
    }
}

/// Length of a stretch that [`Checkpoint::fingerprint`] hashes.
pub const STRETCH_BYTES: usize = 16 << 10;

/// Start, middle and end of `0..elements`, each at most `most` long; everything where that is all.
fn stretches(elements: usize, most: usize) -> Vec<Range<usize>> {
    if elements <= 3 * most {
        return std::iter::once(0..elements).collect();
    }
    let middle = elements / 2 - most / 2;
    vec![0..most, middle..middle + most, elements - most..elements]
}

/// Strips `module.` from names that all carry it, as `DistributedDataParallel` leaves it.
fn strip_module<T>(tensors: BTreeMap<String, T>) -> BTreeMap<String, T> {
    const PREFIX: &str = "module.";
    if !tensors.keys().all(|k| k.starts_with(PREFIX)) {
        return tensors;
    }
    let stripped = |(k, v): (String, T)| (k[PREFIX.len()..].to_owned(), v);
    tensors.into_iter().map(stripped).collect()
}
