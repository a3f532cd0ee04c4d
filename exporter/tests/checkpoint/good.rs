//! Files that must be read, value for value as PyTorch reads them.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use socc_exporter::checkpoint::{Checkpoint, CheckpointError};

use crate::support::{TempFile, fixture, safetensors};

#[derive(Deserialize)]
struct Expected {
    format: String,
    tensors: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
struct Row {
    dtype: String,
    shape: Vec<usize>,
    f32_bits: Vec<i32>,
    i64: Option<Vec<i64>>,
}

#[test]
fn every_form_reads_as_in_pytorch() {
    let expected = fs::read(fixture("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&expected).unwrap();
    assert_eq!(expected.len(), 20);
    for (file, expected) in expected {
        let checkpoint = Checkpoint::open(&fixture(&file)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(checkpoint.format().to_string(), expected.format, "{file}");
        let names = checkpoint.tensors().keys();
        assert!(names.eq(expected.tensors.keys()), "{file}");
        for (name, row) in expected.tensors {
            check(&checkpoint, &name, &row);
        }
    }
}

/// A tensor by every way of reading it.
fn check(checkpoint: &Checkpoint, name: &str, row: &Row) {
    let place = format!("{checkpoint:?}: {name}");
    let info = &checkpoint.tensors()[name];
    assert_eq!(info.dtype.to_string(), row.dtype, "{place}");
    assert_eq!(info.shape, row.shape, "{place}");
    let bits = |values: Vec<f32>| -> Vec<i32> {
        let bits = values.iter().map(|v| v.to_bits().cast_signed());
        bits.collect()
    };
    let values = bits(checkpoint.read_f32(name).unwrap());
    assert_eq!(values, row.f32_bits, "{place}");
    match (checkpoint.read_i64(name), &row.i64) {
        (Ok(values), Some(expected)) => assert_eq!(&values, expected, "{place}"),
        (Err(CheckpointError::DType { key, got, .. }), None) => {
            assert_eq!((key.as_str(), got), (name, info.dtype));
        }
        (got, _) => panic!("{place}: {got:?}"),
    }
    let n = values.len();
    for range in [0..n, n / 3..n - n / 4, n..n] {
        let mut out = Vec::new();
        checkpoint.copy_f32(name, range.clone(), &mut out).unwrap();
        let (cells, rest) = out.as_chunks::<4>();
        assert!(rest.is_empty());
        let copied = cells.iter().map(|c| i32::from_le_bytes(*c));
        assert!(copied.eq(row.f32_bits[range].iter().copied()), "{place}");
    }
}

#[test]
fn the_file_is_described() {
    let path = fixture("zip_bare.pt");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(checkpoint.path(), path);
    assert_eq!(checkpoint.size_bytes(), bytes.len() as u64);
}

#[test]
fn equal_weights_have_equal_fingerprints() {
    let fingerprint = |file: &str| {
        let checkpoint = Checkpoint::open(&fixture(file)).unwrap();
        (
            checkpoint.tensors().clone(),
            checkpoint.fingerprint().unwrap(),
        )
    };
    let (zip_tensors, zip) = fingerprint("zip_bare.pt");
    let (legacy_tensors, legacy) = fingerprint("legacy_bare.pt");
    assert_eq!(zip_tensors, legacy_tensors);
    assert_eq!(zip, legacy);

    // One byte at the end of the file is one element of one tensor.
    let temp = tempfile::tempdir().unwrap();
    let other = temp.path().join("other.safetensors");
    let mut bytes = fs::read(fixture("bare.safetensors")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&other, bytes).unwrap();
    let (_, one) = fingerprint("bare.safetensors");
    let two = Checkpoint::open(&other).unwrap().fingerprint().unwrap();
    assert_ne!(one, two);
}

#[test]
fn a_missing_tensor_is_named() {
    for file in ["zip_bare.pt", "legacy_bare.pt", "bare.safetensors"] {
        let checkpoint = Checkpoint::open(&fixture(file)).unwrap();
        for error in [
            checkpoint.read_f32("no.such").unwrap_err(),
            checkpoint.read_i64("no.such").unwrap_err(),
            checkpoint
                .copy_f32("no.such", 0..1, &mut Vec::new())
                .unwrap_err(),
        ] {
            assert!(matches!(error, CheckpointError::MissingKey { key, .. } if key == "no.such"));
        }
    }
}

#[test]
fn a_destination_that_refuses_is_no_fault_of_the_file() {
    for file in ["zip_bare.pt", "bare.safetensors"] {
        let checkpoint = Checkpoint::open(&fixture(file)).unwrap();
        let mut full = [0u8; 5];
        let error = checkpoint.copy_f32("f32", 0..6, &mut &mut full[..]);
        assert!(matches!(error, Err(CheckpointError::Write(_))));
    }
}

/// The header's length can begin with any two bytes, those of a zip archive and of a pickle among them.
#[test]
fn safetensors_headers_of_every_length_are_recognised() {
    let tensor = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    for length in [56, 128, usize::from(u16::from_le_bytes(*b"PK")), 0x8080] {
        let header = format!("{tensor}{}", " ".repeat(length - tensor.len()));
        let file = safetensors(&header, &2.5f32.to_le_bytes());
        let checkpoint = Checkpoint::open(file.path()).unwrap();
        assert_eq!(checkpoint.read_f32("w").unwrap(), [2.5], "{length}");
    }
}

/// More elements than are copied at once.
#[test]
fn long_tensors_are_copied_without_seams() {
    let elements = (1 << 20) + 5;
    let header = format!(
        r#"{{"w":{{"dtype":"I16","shape":[{elements}],"data_offsets":[0,{}]}}}}"#,
        2 * elements
    );
    let value = |i: usize| (i % 30_011) as i16;
    let data: Vec<u8> = (0..elements).flat_map(|i| value(i).to_le_bytes()).collect();
    let file = safetensors(&header, &data);
    let checkpoint = Checkpoint::open(file.path()).unwrap();
    let mut out = Vec::new();
    checkpoint.copy_f32("w", 3..elements, &mut out).unwrap();
    let expected = (3..elements).flat_map(|i| f32::from(value(i)).to_le_bytes());
    assert!(out.into_iter().eq(expected));
}

/// An open file is read on from where it was opened, whatever takes its name.
#[test]
fn a_replaced_file_does_not_mix() {
    for name in ["zip_bare.pt", "legacy_bare.pt", "bare.safetensors"] {
        let file = TempFile::new(&fs::read(fixture(name)).unwrap());
        let checkpoint = Checkpoint::open(file.path()).unwrap();
        let before = checkpoint.read_f32("f32").unwrap();
        fs::remove_file(file.path()).unwrap();
        fs::write(file.path(), b"something else").unwrap();
        assert_eq!(checkpoint.read_f32("f32").unwrap(), before);
    }
}
