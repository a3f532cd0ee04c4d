//! ONNX files that this crate wrote, as graphs again: what passes and observers work on.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use prost::Message;

use super::OnnxError;
use super::proto::{
    AttributeProto, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use crate::graph::{Attribute, Data, DataError, Graph, Value, dtype_of_onnx, known_word};
use crate::tensor::{Dim, TensorSpec};

/// Longest model file that is read: weights lie beside it, so that those of socc have some 100 kB.
const MAX_MODEL_BYTES: u64 = 256 << 20;

/// Reads a stage file of a bundle; weights stay where they are until they are asked for.
///
/// # Errors
/// The file cannot be read, is no ONNX model, or is none that this crate wrote: other operators, values without type
/// or shape, weights that are not where it says.
pub fn load(path: &Path) -> Result<Graph, OnnxError> {
    let read_error = |source| OnnxError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(read_error)?;
    file.take(MAX_MODEL_BYTES)
        .read_to_end(&mut bytes)
        .map_err(read_error)?;
    let reader = Reader { path };
    let model = ModelProto::decode(&*bytes).map_err(|e| reader.foreign(e.to_string()))?;
    reader.graph(model)
}

struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn foreign(&self, reason: impl Into<String>) -> OnnxError {
        OnnxError::Foreign {
            path: self.path.to_owned(),
            reason: reason.into(),
        }
    }

    fn word(&self, word: &str, what: &str) -> Result<&'static str, OnnxError> {
        known_word(word).ok_or_else(|| self.foreign(format!("it has the {what} `{word}`")))
    }

    fn graph(&self, model: ModelProto) -> Result<Graph, OnnxError> {
        let opset = model.opset_import.iter().find(|o| o.domain.is_empty());
        let opset = opset.ok_or_else(|| self.foreign("it names no operator set"))?;
        let proto = model.graph.ok_or_else(|| self.foreign("it has no graph"))?;
        let mut graph = Graph::new(&proto.name);
        graph.set_opset(opset.version);
        let mut values = HashMap::new();
        for info in &proto.input {
            let spec = self.spec(info)?;
            let value = graph.input(&spec.name, spec.dtype, &spec.shape)?;
            values.insert(spec.name, value);
        }
        for tensor in &proto.initializer {
            let value = self.initializer(&mut graph, tensor)?;
            values.insert(tensor.name.clone(), value);
        }
        self.nodes(&mut graph, &proto, &mut values)?;
        for info in &proto.output {
            let value = values.get(&info.name).copied();
            graph.keep(value.ok_or_else(|| self.unmade(&info.name))?);
        }
        Ok(graph)
    }

    fn unmade(&self, name: &str) -> OnnxError {
        self.foreign(format!("nothing makes its value `{name}`"))
    }

    fn nodes(
        &self,
        graph: &mut Graph,
        proto: &GraphProto,
        values: &mut HashMap<String, Value>,
    ) -> Result<(), OnnxError> {
        let infos = proto.value_info.iter().chain(&proto.output);
        let infos: HashMap<&str, &ValueInfoProto> = infos.map(|i| (i.name.as_str(), i)).collect();
        for node in &proto.node {
            let input = |name: &String| match name.is_empty() {
                true => Ok(None),
                false => values
                    .get(name)
                    .map(|v| Some(*v))
                    .ok_or_else(|| self.unmade(name)),
            };
            let inputs = node.input.iter().map(input).collect::<Result<_, _>>()?;
            let output = |name: &String| match infos.get(name.as_str()) {
                Some(info) => self.spec(info),
                None => Err(self.foreign(format!("its value `{name}` has no type"))),
            };
            let outputs: Vec<TensorSpec> =
                node.output.iter().map(output).collect::<Result<_, _>>()?;
            let names: Vec<String> = outputs.iter().map(|s| s.name.clone()).collect();
            let op = self.word(&node.op_type, "operator")?;
            let made = graph.node(&node.name, op, inputs, self.attributes(node)?, outputs)?;
            values.extend(names.into_iter().zip(made));
        }
        Ok(())
    }

    fn attributes(&self, node: &NodeProto) -> Result<Vec<(&'static str, Attribute)>, OnnxError> {
        let attribute = |proto: &AttributeProto| {
            let name = self.word(&proto.name, "attribute")?;
            let value = match (proto.r#type, proto.f, proto.i, &proto.s) {
                (1, Some(f), _, _) => Attribute::Float(f),
                (2, _, Some(i), _) => Attribute::Int(i),
                (3, _, _, Some(s)) => {
                    Attribute::String(self.word(&String::from_utf8_lossy(s), "word")?)
                }
                (7, ..) => Attribute::Ints(proto.ints.clone()),
                _ => {
                    let node = &node.name;
                    return Err(self.foreign(format!("node `{node}`: `{name}` has no value")));
                }
            };
            Ok((name, value))
        };
        node.attribute.iter().map(attribute).collect()
    }

    fn spec(&self, info: &ValueInfoProto) -> Result<TensorSpec, OnnxError> {
        let incomplete = || self.foreign(format!("its value `{}` has no full type", info.name));
        let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let tensor = tensor.ok_or_else(incomplete)?;
        let shape = tensor.shape.as_ref().ok_or_else(incomplete)?;
        let dim = |value: &Option<DimensionValue>| match value {
            Some(DimensionValue::Value(n)) => usize::try_from(*n).ok().map(Dim::Fixed),
            Some(DimensionValue::Param(name)) => Some(Dim::Symbol(name.clone())),
            None => None,
        };
        Ok(TensorSpec {
            name: info.name.clone(),
            dtype: dtype_of_onnx(tensor.elem_type.into()).ok_or_else(incomplete)?,
            shape: shape
                .dim
                .iter()
                .map(|d| dim(&d.value).ok_or_else(incomplete))
                .collect::<Result<_, _>>()?,
        })
    }

    fn initializer(&self, graph: &mut Graph, tensor: &TensorProto) -> Result<Value, OnnxError> {
        let name = &tensor.name;
        let bad = |reason: &str| self.foreign(format!("its initializer `{name}` {reason}"));
        let dtype = dtype_of_onnx(tensor.data_type.into()).ok_or_else(|| bad("has no type"))?;
        let shape = tensor.dims.iter().map(|n| usize::try_from(*n));
        let shape: Vec<usize> = shape
            .collect::<Result<_, _>>()
            .map_err(|_| bad("has no shape"))?;
        let bytes = shape
            .iter()
            .try_fold(dtype.size_bytes(), |n, d| n.checked_mul(*d));
        let bytes = bytes.ok_or_else(|| bad("is larger than memory"))? as u64;
        let data = match &tensor.raw_data {
            Some(raw) if raw.len() as u64 == bytes => Data::Bytes(Arc::from(raw.as_slice())),
            Some(_) => return Err(bad("has not as many bytes as its shape needs")),
            None => self.external(tensor, bytes)?,
        };
        Ok(graph.initializer(name, dtype, &shape, data)?)
    }

    fn external(&self, tensor: &TensorProto, bytes: u64) -> Result<Data, OnnxError> {
        let bad = |reason: &str| {
            let name = &tensor.name;
            self.foreign(format!("its initializer `{name}` {reason}"))
        };
        let entry = |key: &str| {
            let found = tensor.external_data.iter().find(|e| e.key == key);
            found.map(|e| e.value.as_str())
        };
        let number = |key: &str| entry(key).and_then(|v| v.parse::<u64>().ok());
        let location = entry("location").ok_or_else(|| bad("has no data"))?;
        if Path::new(location).file_name() != Some(location.as_ref()) {
            return Err(bad("lies outside the bundle"));
        }
        let path = self.path.with_file_name(location);
        let size = fs::metadata(&path).map_err(|source| OnnxError::Read {
            path: path.clone(),
            source,
        })?;
        let offset = number("offset").unwrap_or(0);
        let fits = offset
            .checked_add(bytes)
            .is_some_and(|end| end <= size.len());
        if number("length") != Some(bytes) || !fits {
            return Err(bad("does not fit its data file"));
        }
        Ok(Data::stream(move |out| {
            let copied = copy_range(&path, offset, bytes, out).map_err(|e| {
                let reason = format!("{}: {e}", path.display());
                DataError::Io(io::Error::new(e.kind(), reason))
            })?;
            match copied == bytes {
                true => Ok(()),
                false => Err(DataError::Io(short(&path))),
            }
        }))
    }
}

fn copy_range(path: &Path, offset: u64, bytes: u64, out: &mut dyn io::Write) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    io::copy(&mut file.take(bytes), out)
}

fn short(path: &Path) -> io::Error {
    let reason = format!("{} has become shorter", path.display());
    io::Error::new(io::ErrorKind::UnexpectedEof, reason)
}
