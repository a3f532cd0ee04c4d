//! Fixtures and temporary files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use socc_exporter::checkpoint::{Checkpoint, CheckpointError};

/// A file that PyTorch wrote.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/checkpoints")
        .join(name)
}

/// The error of a file that must not open.
pub fn refusal(path: &Path) -> CheckpointError {
    match Checkpoint::open(path) {
        Ok(checkpoint) => panic!("opened {checkpoint:?}"),
        Err(error) => error,
    }
}

/// A file that is removed when this is dropped.
pub struct TempFile(PathBuf);

impl TempFile {
    pub fn new(bytes: &[u8]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("socc-checkpoint-{}-{count}", process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

/// A safetensors file of the given header and data.
pub fn safetensors(header: &str, data: &[u8]) -> TempFile {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    TempFile::new(&bytes)
}

/// Opens `bytes` and reads every tensor in every way; an error is fine, a panic fails the test.
pub fn exercise(bytes: &[u8]) -> Option<CheckpointError> {
    let file = TempFile::new(bytes);
    let checkpoint = match Checkpoint::open(file.path()) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Some(error),
    };
    let mut first = None;
    for (name, info) in checkpoint.tensors() {
        let elements = info.elements();
        match checkpoint.read_f32(name) {
            Ok(values) => assert_eq!(values.len(), elements),
            Err(error) => first = first.or(Some(error)),
        }
        match checkpoint.read_i64(name) {
            Ok(values) => assert_eq!(values.len(), elements),
            Err(CheckpointError::DType { .. }) => {}
            Err(error) => first = first.or(Some(error)),
        }
        let mut out = Vec::new();
        match checkpoint.copy_f32(name, elements / 3..elements, &mut out) {
            Ok(()) => assert_eq!(out.len(), 4 * (elements - elements / 3)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    first
}
