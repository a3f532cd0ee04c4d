//! Files of `torch.save`.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

use pytorch_reader::{DType as TorchDType, PytorchError, PytorchReader, Tensor};

use super::{CheckpointError, Format, Result, TensorInfo, strip_module};
use crate::tensor::DType;

/// Where trainers put the state dict, in the order in which they are tried.
const STATE_DICT_KEYS: [&str; 3] = ["model_state_dict", "model", "state_dict"];

pub(super) struct Tensors {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

pub(super) fn open(
    path: &Path,
    head: &[u8],
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
    let tensors = strip_module(state_dict(path)?.into_iter().collect());
    let mut infos = BTreeMap::new();
    for (name, tensor) in &tensors {
        let dtype = dtype(tensor.dtype()).ok_or_else(|| CheckpointError::UnsupportedDType {
            path: path.to_owned(),
            key: name.clone(),
            got: format!("{:?}", tensor.dtype()),
        })?;
        let shape = tensor.shape().to_vec();
        infos.insert(name.clone(), TensorInfo { dtype, shape });
    }
    let reader = Tensors {
        path: path.to_owned(),
        tensors,
    };
    Ok((format, reader, infos))
}

fn state_dict(path: &Path) -> Result<HashMap<String, Tensor>> {
    let fail = |e: PytorchError| match e {
        PytorchError::Io(source) if source.kind() == std::io::ErrorKind::NotFound => {
            CheckpointError::Unreadable {
                path: path.to_owned(),
                source,
            }
        }
        e => CheckpointError::Corrupt {
            path: path.to_owned(),
            reason: e.to_string(),
        },
    };
    for key in STATE_DICT_KEYS {
        match PytorchReader::with_top_level_key(path, key) {
            Ok(reader) if !reader.is_empty() => return Ok(reader.into_tensors()),
            Ok(_) | Err(PytorchError::KeyNotFound(_)) => {}
            Err(e) => return Err(fail(e)),
        }
    }
    let reader = PytorchReader::new(path).map_err(fail)?;
    if reader.is_empty() {
        return Err(CheckpointError::NoStateDict {
            path: path.to_owned(),
        });
    }
    Ok(reader.into_tensors())
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
        let tensor = self.tensors.get(name).ok_or_else(|| CheckpointError::MissingKey {
            path: self.path.clone(),
            key: name.to_owned(),
        })?;
        let mut bytes = tensor.read().map_err(|e| CheckpointError::Corrupt {
            path: self.path.clone(),
            reason: e.to_string(),
        })?;
        let size = info.dtype.size_bytes();
        bytes.truncate(elements.end * size);
        bytes.drain(..elements.start * size);
        Ok(bytes)
    }
}
