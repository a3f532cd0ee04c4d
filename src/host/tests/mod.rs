//! The host side against Pillow, PyTorch, Hugging Face's tokenizer and the official code: the
//! fixtures are made by `tests/reference/make_host.py`.

mod frames;
mod masks;
mod pictures;
mod resize;
mod tokenizer;

use std::fs;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use socc_exporter::digest::hex;

/// A file of the host's fixtures.
pub(crate) fn fixture(path: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/host").join(path)
}

/// A JSON fixture.
pub(crate) fn json<T: DeserializeOwned>(path: &str) -> T {
    let text = fs::read_to_string(fixture(path)).expect(path);
    serde_json::from_str(&text).expect(path)
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
