//! Files that must be refused, each with a sentence that says why and what to do.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use socc_exporter::checkpoint::{Checkpoint, CheckpointError};

use crate::support::{TempFile, exercise, fixture, refusal, safetensors};

#[test]
fn commands_in_a_pickle_are_named_and_never_run() {
    for file in [
        "foreign_zip_root.pt",
        "foreign_zip_weights.pt",
        "foreign_legacy_root.pt",
        "foreign_legacy_weights.pt",
    ] {
        let error = refusal(&fixture(file));
        let CheckpointError::ForeignGlobal { name, path } = &error else {
            panic!("{file}: {error}");
        };
        // Python's `os.system` is `system` of the platform's own module.
        assert_eq!(name, "posix.system", "{file}");
        assert_eq!(path, &fixture(file));
        assert!(
            error.to_string().ends_with(
                "the weights need Python's `posix.system`, which socc does not know; nothing of the file was \
                 executed; load it where it is trusted and save only `model.state_dict()`"
            ),
            "{error}"
        );
    }
    for file in ["foreign_zip_beside.pt", "foreign_legacy_beside.pt"] {
        let checkpoint = Checkpoint::open(&fixture(file)).unwrap();
        assert!(checkpoint.read_f32("0.weight").is_ok());
    }
    assert!(!Path::new("socc-checkpoint-ran").exists());
}

#[test]
fn objects_that_hold_tensors_are_named() {
    for (file, expected) in [
        ("foreign_holds_tensors.pt", "__main__.Tracker"),
        ("foreign_optimizer.pt", "torch.optim.sgd.SGD"),
        ("sparse.pt", "torch._utils._rebuild_sparse_tensor"),
        ("complex.pt", "torch.ComplexFloatStorage"),
    ] {
        match refusal(&fixture(file)) {
            CheckpointError::ForeignGlobal { name, .. } => assert_eq!(name, expected, "{file}"),
            error => panic!("{file}: {error}"),
        }
    }
    let error = refusal(&fixture("foreign_container.pt"));
    assert!(
        matches!(error, CheckpointError::ForeignContainer { .. }),
        "{error}"
    );
}

#[test]
fn an_element_type_that_no_model_has_is_named() {
    match refusal(&fixture("uint16.pt")) {
        CheckpointError::UnsupportedDType { key, got, .. } => {
            assert_eq!((key.as_str(), got.as_str()), ("weight", "U16"));
        }
        error => panic!("{error}"),
    }
    let header = r#"{"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#;
    let file = safetensors(header, &[0; 2]);
    assert!(matches!(
        refusal(file.path()),
        CheckpointError::UnsupportedDType { key, .. } if key == "w"
    ));
}

#[test]
fn files_without_weights_say_so() {
    for file in ["no_tensors.pt", "list.pt", "plain.pkl"] {
        let error = refusal(&fixture(file));
        assert!(
            matches!(error, CheckpointError::NoStateDict { .. }),
            "{error}"
        );
    }
    let file = safetensors("{}", &[]);
    assert!(matches!(
        refusal(file.path()),
        CheckpointError::NoStateDict { .. }
    ));
}

#[test]
fn other_files_are_no_checkpoints() {
    for bytes in [&b""[..], b"P", b"\x89PNG\r\n\x1a\n", b"lr: {value: 1e-4}"] {
        let file = TempFile::new(bytes);
        assert!(matches!(
            refusal(file.path()),
            CheckpointError::NotACheckpoint { .. }
        ));
    }
    assert!(matches!(
        refusal(Path::new(env!("CARGO_MANIFEST_DIR"))),
        CheckpointError::NotACheckpoint { reason, .. } if reason == "it is not a regular file"
    ));
    assert!(matches!(
        refusal(Path::new("no/such/file.pt")),
        CheckpointError::Unreadable { .. }
    ));
    // An archive, but of something else.
    let file = TempFile::new(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert!(matches!(
        refusal(file.path()),
        CheckpointError::Corrupt { .. }
    ));
}

#[test]
fn a_pickle_that_unpacks_to_more_than_any_is_refused() {
    // Stored here; packed, the same is an archive of 17 kB whose objects take gigabytes.
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file("archive/data.pkl", stored).unwrap();
    writer.write_all(b"\x80\x02").unwrap();
    writer.write_all(&vec![b']'; 17 << 20]).unwrap();
    let file = TempFile::new(writer.finish().unwrap().get_ref());
    match refusal(file.path()) {
        CheckpointError::Corrupt { reason, .. } => {
            assert!(
                reason.starts_with("its pickle claims 17825794 bytes"),
                "{reason}"
            );
        }
        error => panic!("{error}"),
    }
}

#[test]
fn absurd_shapes_are_refused_before_anything_is_allocated() {
    match refusal(&fixture("absurd_expand.pt")) {
        CheckpointError::Corrupt { reason, .. } => assert_eq!(
            reason,
            "`weight` of shape [2147483648] claims 8589934592 bytes, more than the whole file has"
        ),
        error => panic!("{error}"),
    }
    let max = usize::MAX;
    for (shape, end) in [
        (format!("[{max},{max}]"), 4),
        (format!("[{max}]"), max),
        (format!("[{max},0]"), 4),
        ("[4611686018427387904,2]".to_owned(), 0),
        ("[1000000000000]".to_owned(), 4_000_000_000_000),
        ("[-1]".to_owned(), 4),
        ("[1]".to_owned(), max),
    ] {
        let header =
            format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
        let file = safetensors(&header, &[0; 4]);
        let error = refusal(file.path());
        assert!(
            matches!(error, CheckpointError::Corrupt { .. }),
            "{shape}: {error}"
        );
    }
}

#[test]
fn damaged_safetensors_say_what_is_wrong() {
    let tensor = |offsets: &str| {
        format!(r#"{{"w":{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}}}"#)
    };
    let corrupt = |header: &str, data: &[u8], expected: &str| {
        let file = safetensors(header, data);
        match refusal(file.path()) {
            CheckpointError::Corrupt { reason, .. } => {
                assert!(reason.contains(expected), "{reason}");
            }
            error => panic!("{error}"),
        }
    };
    let promise = "its header promises 8 bytes of tensors and";
    corrupt(&tensor("[0,8]"), &[0; 7], &format!("{promise} 7 are there"));
    corrupt(&tensor("[0,8]"), &[0; 9], &format!("{promise} 9 are there"));
    corrupt(&tensor("[4,12]"), &[0; 12], "invalid offset");
    corrupt(&tensor("[8,0]"), &[0; 8], "invalid offset");
    corrupt(
        &tensor("[0,4]"),
        &[0; 4],
        "invalid shape, data type, or offset",
    );
    corrupt("{nonsense", &[], "key must be a string");
    corrupt("{\"\u{fffd}", &[], "EOF");
    let mut long = u64::MAX.to_le_bytes().to_vec();
    long.extend(b"{}");
    let file = TempFile::new(&long);
    let error = refusal(file.path()).to_string();
    assert!(
        error.contains("its header claims 18446744073709551615 bytes of 10"),
        "{error}"
    );
}

/// Cut anywhere, a file is refused or its tensors are: what was cut off is never made up.
#[test]
fn truncated_files_give_errors() {
    for name in [
        "zip_bare.pt",
        "legacy_bare.pt",
        "legacy_training.pt",
        "bare.safetensors",
    ] {
        let whole = fs::read(fixture(name)).unwrap();
        let lengths = (0..whole.len())
            .step_by(7)
            .chain(whole.len() - 9..whole.len());
        for length in lengths {
            let error = exercise(&whole[..length]);
            assert!(
                matches!(
                    error,
                    Some(CheckpointError::Corrupt { .. } | CheckpointError::NotACheckpoint { .. })
                ),
                "{name} cut to {length}: {error:?}"
            );
        }
    }
}

/// The archive has checksums: a changed weight is noticed when it is read.
#[test]
fn a_changed_byte_in_a_zip_archive_is_noticed() {
    let whole = fs::read(fixture("zip_model.pt")).unwrap();
    let intact = Checkpoint::open(&fixture("zip_model.pt")).unwrap();
    let weight = intact.read_f32("0.weight").unwrap();
    let pattern: Vec<u8> = weight.iter().flat_map(|v| v.to_le_bytes()).collect();
    let at = whole
        .windows(pattern.len())
        .position(|w| w == pattern)
        .unwrap();
    let mut changed = whole;
    changed[at + 2] ^= 0x40;
    let error = exercise(&changed).unwrap().to_string();
    assert!(
        error.contains("truncated or corrupt: `0.weight`") && error.contains("checksum"),
        "{error}"
    );
}
