//! safetensors files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
#[cfg(not(unix))]
use std::sync::Mutex;

use ::safetensors::tensor::{Dtype, Metadata};

use super::{CheckpointError, Result, TensorInfo, strip_module};
use crate::tensor::DType;

/// Longest header that the format allows.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Whether the first bytes are a header length and the start of a JSON object. The length may well begin like another
/// format's mark; but where a zip archive has its compression method and a pickle its magic number, neither has a brace.
pub(super) fn looks_like(head: &[u8]) -> bool {
    head.get(8) == Some(&b'{')
}

#[cfg(unix)]
type SharedFile = File;
#[cfg(not(unix))]
type SharedFile = Mutex<File>;

pub(super) struct Tensors {
    path: PathBuf,
    file: SharedFile,
    offsets: BTreeMap<String, u64>,
}

pub(super) fn open(
    path: &Path,
    mut file: File,
    file_len: u64,
) -> Result<(Tensors, BTreeMap<String, TensorInfo>)> {
    let corrupt = |reason: String| CheckpointError::Corrupt {
        path: path.to_owned(),
        reason,
    };
    let io = |source| CheckpointError::Unreadable {
        path: path.to_owned(),
        source,
    };
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length + 8 > file_len {
        return Err(corrupt(format!(
            "its header claims {length} bytes of {file_len}"
        )));
    }
    let mut header = Vec::with_capacity(length as usize);
    { Read::by_ref(&mut file).take(length) }
        .read_to_end(&mut header)
        .map_err(io)?;
    // Checks that the tensors follow each other without holes and that their sizes are those of their shapes.
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|e| corrupt(format!("its header cannot be read: {e}")))?;
    let (expected, got) = (metadata.data_len() as u64, file_len - length - 8);
    if expected != got {
        return Err(corrupt(format!(
            "its header promises {expected} bytes of tensors and {got} are there"
        )));
    }
    let (mut infos, mut offsets) = (BTreeMap::new(), BTreeMap::new());
    for (name, info) in metadata.tensors() {
        let dtype = dtype(info.dtype).ok_or_else(|| CheckpointError::UnsupportedDType {
            path: path.to_owned(),
            key: name.clone(),
            got: format!("{:?}", info.dtype),
        })?;
        let (start, _) = info.data_offsets;
        offsets.insert(name.clone(), start as u64 + length + 8);
        infos.insert(
            name.clone(),
            TensorInfo {
                dtype,
                shape: info.shape.clone(),
            },
        );
    }
    if infos.is_empty() {
        return Err(CheckpointError::NoStateDict {
            path: path.to_owned(),
        });
    }
    let tensors = Tensors {
        path: path.to_owned(),
        file: SharedFile::from(file),
        offsets: strip_module(offsets),
    };
    Ok((tensors, strip_module(infos)))
}

fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool,
        _ => return None,
    })
}

impl Tensors {
    pub(super) fn read_into(
        &self,
        name: &str,
        info: &TensorInfo,
        elements: Range<usize>,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        let io = |source| CheckpointError::Unreadable {
            path: self.path.clone(),
            source,
        };
        let size = info.dtype.size_bytes();
        let start = self.offsets.get(name).copied().unwrap_or(0) + (elements.start * size) as u64;
        // Not cleared first: of a buffer that is used again, zeroing would cost as much as reading.
        buffer.resize(elements.len() * size, 0);
        read_at(&self.file, buffer, start).map_err(io)
    }
}

/// Reads without moving a shared cursor, so that threads do not wait for each other.
#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], start: u64) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.read_exact_at(buffer, start)
}

#[cfg(not(unix))]
fn read_at(file: &Mutex<File>, buffer: &mut [u8], start: u64) -> std::io::Result<()> {
    let mut file = file.lock().unwrap_or_else(|e| e.into_inner());
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(buffer)
}
