//! Graphs as ONNX: a model file, and its weights as external data beside it.

mod convert;
mod flow;
pub mod proto;
mod read;
mod structure;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::graph::{DataError, Graph, GraphError};

pub use flow::{Flow, Link};
pub use read::load;
pub use structure::structure_hash;

/// Why a graph could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// A file could not be created or written.
    #[error("cannot write {path}: {source}; check that the folder exists and has room")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}; export or copy the bundle again")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is no graph that this crate wrote.
    #[error("{path} is no stage graph of socc: {reason}; run `socc export` again")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The nodes of a file do not form a graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An initializer's bytes could not be produced.
    #[error("cannot produce initializer `{name}` of graph `{graph}`: {source}")]
    Data {
        /// Name of the graph.
        graph: String,
        /// Name of the initializer.
        name: String,
        /// Why.
        source: DataError,
    },
    /// An initializer produced another number of bytes than its shape needs.
    #[error(
        "initializer `{name}` gave {got} bytes where its shape needs {expected}; this is a bug"
    )]
    Length {
        /// Name of the initializer.
        name: String,
        /// Bytes that the shape needs.
        expected: u64,
        /// Bytes that were produced.
        got: u64,
    },
}

/// A file of a saved graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFile {
    /// Name within the folder.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// What [`save`] wrote: the model first, then its external data if there is any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The files.
    pub files: Vec<SavedFile>,
}

/// A graph as bytes.
#[derive(Debug, Clone)]
pub struct InMemory {
    /// Serialised `ModelProto`.
    pub model: Vec<u8>,
    /// External data by location name.
    pub external: Vec<(String, Vec<u8>)>,
}

/// Writes `NAME.onnx` and `NAME.onnx.data` into `dir`, where NAME is the graph's.
///
/// Weights stream from their source to the file; no more than one piece is in memory. The folder is
/// the caller's to make whole: write into a temporary one and rename it.
///
/// # Errors
/// A file cannot be written or a weight cannot be read.
pub fn save(graph: &Graph, dir: &Path) -> Result<Saved, OnnxError> {
    let model_name = format!("{}.onnx", graph.name());
    let data_name = format!("{model_name}.data");
    let data_path = dir.join(&data_name);
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| OnnxError::Write { path, source }
    };
    let file = File::create(&data_path).map_err(write_error(&data_path))?;
    let mut out = Sink::new(BufWriter::with_capacity(1 << 16, file));
    let model = convert::model(graph, &data_name, &mut out)?;
    let data = out.finish(&data_name).map_err(write_error(&data_path))?;

    let bytes = model.encode_to_vec();
    let model_path = dir.join(&model_name);
    fs::write(&model_path, &bytes).map_err(write_error(&model_path))?;
    let mut files = vec![SavedFile {
        name: model_name,
        bytes: bytes.len() as u64,
        sha256: hex(&Sha256::digest(&bytes)),
    }];
    if data.bytes > 0 {
        files.push(data);
    } else {
        fs::remove_file(&data_path).map_err(write_error(&data_path))?;
    }
    Ok(Saved { files })
}

/// The graph as bytes, for engines that load from memory.
///
/// # Errors
/// A weight cannot be read.
pub fn to_memory(graph: &Graph) -> Result<InMemory, OnnxError> {
    let data_name = format!("{}.onnx.data", graph.name());
    let mut out = Sink::new(Vec::new());
    let model = convert::model(graph, &data_name, &mut out)?.encode_to_vec();
    let external = if out.inner.is_empty() {
        vec![]
    } else {
        vec![(data_name, out.inner)]
    };
    Ok(InMemory { model, external })
}

/// A writer that counts, and hashes what goes to a file.
struct Sink<W: Write> {
    inner: W,
    hash: Sha256,
    written: u64,
}

impl<W: Write> Sink<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            written: 0,
        }
    }
}

impl Sink<BufWriter<File>> {
    fn finish(mut self, name: &str) -> io::Result<SavedFile> {
        self.inner.flush()?;
        Ok(SavedFile {
            name: name.to_owned(),
            bytes: self.written,
            sha256: hex(&self.hash.finalize()),
        })
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hash.update(&buf[..n]);
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
