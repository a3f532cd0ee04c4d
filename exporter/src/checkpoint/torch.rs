//! Files of `torch.save`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};

use pytorch_reader::{
    DType as TorchDType, OpCode, PickleError, PickleValue, PytorchError, PytorchReader, Tensor,
};

use zip::ZipArchive;

use super::{CheckpointError, Format, Result, TensorInfo, strip_module};
use crate::tensor::DType;

/// Where trainers put the state dict, in the order in which they are tried.
const STATE_DICT_KEYS: [&str; 3] = ["model_state_dict", "model", "state_dict"];

/// Bytes that a tensor of repeated or compressed elements may have although the file is smaller.
const REPEATED_BYTES: u64 = 256 << 20;

/// Longest pickle in an archive, unpacked; that of a full-size model with its optimiser has less than one megabyte. Its
/// objects take some 20 times as much memory.
const MAX_PICKLE_BYTES: u64 = 16 << 20;

pub(super) struct Tensors {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

pub(super) fn open(
    path: &Path,
    head: &[u8],
    file_len: u64,
) -> Result<(Format, Tensors, BTreeMap<String, TensorInfo>)> {
    let format = if head.starts_with(b"PK") {
        Format::TorchZip
    } else if head.first() == Some(&0x80) {
        Format::TorchLegacy
    } else {
        return Err(CheckpointError::NotACheckpoint {
            path: path.to_owned(),
            reason: "it starts like none of the known formats".to_owned(),
        });
    };
    if format == Format::TorchZip {
        refuse_bomb(path)?;
    }
    let tensors = strip_module(state_dict(path)?.into_iter().collect());
    let mut infos = BTreeMap::new();
    for (name, tensor) in &tensors {
        let dtype = dtype(tensor.dtype()).ok_or_else(|| CheckpointError::UnsupportedDType {
            path: path.to_owned(),
            key: name.clone(),
            got: format!("{:?}", tensor.dtype()),
        })?;
        let shape = tensor.shape().to_vec();
        refuse_absurd(path, name, tensor, file_len)?;
        infos.insert(name.clone(), TensorInfo { dtype, shape });
    }
    let reader = Tensors {
        path: path.to_owned(),
        tensors,
    };
    Ok((format, reader, infos))
}

/// Finds the state dict. Objects of foreign classes beside it (an `argparse.Namespace`, say) are skipped unread.
fn state_dict(path: &Path) -> Result<HashMap<String, Tensor>> {
    let fail = |e| failed(path, e);
    let root = PytorchReader::read_pickle_data(path, None).map_err(fail)?;
    let mut foreign = foreign_object(&root);
    if let PickleValue::Dict(entries) = &root {
        let entries = STATE_DICT_KEYS.map(|key| Some((key, entries.get(key)?)));
        for (key, value) in entries.into_iter().flatten() {
            foreign = foreign.or(foreign_object(value));
            if holds_tensor(value) && matches!(value, PickleValue::Dict(_)) {
                let reader = PytorchReader::with_top_level_key(path, key).map_err(fail)?;
                if !reader.is_empty() {
                    return Ok(reader.into_tensors());
                }
            }
        }
        let reader = PytorchReader::new(path).map_err(fail)?;
        if foreign.is_none() && !reader.is_empty() {
            return Ok(reader.into_tensors());
        }
    }
    let path = path.to_owned();
    Err(match foreign {
        Some(name) => CheckpointError::ForeignGlobal { path, name },
        None => CheckpointError::NoStateDict { path },
    })
}

/// What the reader calls a tensor, whose values it keeps apart.
const TENSOR: &str = "torch.Tensor";

/// The name of the class or function that a value was to be made by, if it is no plain data.
fn foreign_object(value: &PickleValue) -> Option<String> {
    match value {
        PickleValue::Unsupported(name) if name != TENSOR => Some(name.clone()),
        _ => None,
    }
}

/// The reader bounds how deep values are nested.
fn holds_tensor(value: &PickleValue) -> bool {
    match value {
        PickleValue::Unsupported(name) => name == TENSOR,
        PickleValue::List(items) => items.iter().any(holds_tensor),
        PickleValue::Dict(entries) => entries.values().any(holds_tensor),
        _ => false,
    }
}

/// Says what is wrong with the file, and what to do about it.
fn failed(path: &Path, error: PytorchError) -> CheckpointError {
    let path = path.to_owned();
    match error {
        PytorchError::Io(source) | PytorchError::Pickle(PickleError::Io(source)) => {
            unreadable(path, source, |source| source.to_string())
        }
        PytorchError::Pickle(PickleError::UnsupportedType(name)) => {
            CheckpointError::ForeignGlobal { path, name }
        }
        PytorchError::Pickle(PickleError::UnexpectedOpCode(
            OpCode::SetItem
            | OpCode::SetItems
            | OpCode::Append
            | OpCode::Appends
            | OpCode::AddItems,
        )) => CheckpointError::ForeignContainer { path },
        e => CheckpointError::Corrupt {
            path,
            reason: e.to_string(),
        },
    }
}

/// Tells a file that the system cannot read from one that contradicts itself.
fn unreadable(
    path: PathBuf,
    source: io::Error,
    reason: impl FnOnce(&io::Error) -> String,
) -> CheckpointError {
    if source.raw_os_error().is_some() {
        return CheckpointError::Unreadable { path, source };
    }
    let reason = reason(&source);
    CheckpointError::Corrupt { path, reason }
}

/// Refuses an archive of a few bytes whose pickle would unpack to more than any checkpoint's. What else is wrong with
/// the archive is the reader's to say; it holds entries to the size that they declare.
fn refuse_bomb(path: &Path) -> Result<()> {
    let Some(mut archive) = File::open(path)
        .ok()
        .and_then(|file| ZipArchive::new(BufReader::new(file)).ok())
    else {
        return Ok(());
    };
    for i in 0..archive.len() {
        let Ok(entry) = archive.by_index_raw(i) else {
            continue;
        };
        if entry.name().is_ok_and(|name| name.ends_with("data.pkl"))
            && entry.size() > MAX_PICKLE_BYTES
        {
            return Err(CheckpointError::Corrupt {
                path: path.to_owned(),
                reason: format!(
                    "its pickle claims {} bytes where no checkpoint needs more than {MAX_PICKLE_BYTES}",
                    entry.size()
                ),
            });
        }
    }
    Ok(())
}

/// Refuses a view that repeats its elements until nothing could hold it: a stride of 0 lets one element claim to be any
/// number of them.
fn refuse_absurd(path: &Path, name: &str, tensor: &Tensor, file_len: u64) -> Result<()> {
    let claimed = tensor.byte_len() as u64;
    if claimed <= file_len.max(REPEATED_BYTES) {
        return Ok(());
    }
    Err(CheckpointError::Corrupt {
        path: path.to_owned(),
        reason: format!(
            "`{name}` of shape {:?} claims {claimed} bytes, more than the whole file has",
            tensor.shape()
        ),
    })
}

fn dtype(dtype: TorchDType) -> Option<DType> {
    Some(match dtype {
        TorchDType::F64 => DType::F64,
        TorchDType::F32 => DType::F32,
        TorchDType::F16 => DType::F16,
        TorchDType::BF16 => DType::BF16,
        TorchDType::I64 => DType::I64,
        TorchDType::I32 => DType::I32,
        TorchDType::I16 => DType::I16,
        TorchDType::I8 => DType::I8,
        TorchDType::U8 => DType::U8,
        TorchDType::Bool => DType::Bool,
        _ => return None,
    })
}

impl Tensors {
    pub(super) fn bytes(
        &self,
        name: &str,
        info: &TensorInfo,
        elements: Range<usize>,
    ) -> Result<Vec<u8>> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| CheckpointError::MissingKey {
                path: self.path.clone(),
                key: name.to_owned(),
            })?;
        let mut bytes = tensor.read().map_err(|source| {
            unreadable(self.path.clone(), source, |e| format!("`{name}`: {e}"))
        })?;
        let size = info.dtype.size_bytes();
        bytes.truncate(elements.end * size);
        bytes.drain(..elements.start * size);
        Ok(bytes)
    }
}
