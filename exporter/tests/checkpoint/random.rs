//! Whatever the bytes, the answer is a checkpoint or an error.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use socc_exporter::checkpoint::Checkpoint;

use crate::support::{TempFile, exercise, fixture};

const VALID: [&str; 8] = [
    "zip_bare.pt",
    "zip_training.pt",
    "zip_deflated.pt",
    "zip_without_crc.pt",
    "legacy_bare.pt",
    "legacy_training.pt",
    "bare.safetensors",
    "module_prefix.safetensors",
];

/// A valid file, some bytes of it replaced, cut somewhere or not.
fn damaged() -> impl Strategy<Value = (usize, Vec<(f64, u8)>, Option<f64>)> {
    let change = (0.0..1.0, any::<u8>());
    (
        0..VALID.len(),
        prop::collection::vec(change, 0..8),
        prop::option::weighted(0.4, 0.0..1.0),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic((file, changes, cut) in damaged()) {
        let mut bytes = fs::read(fixture(VALID[file])).unwrap();
        let at = |place: f64, len: usize| (place * len as f64) as usize;
        for (place, byte) in changes {
            let i = at(place, bytes.len());
            bytes[i] = byte;
        }
        if let Some(place) = cut {
            bytes.truncate(at(place, bytes.len()));
        }
        exercise(&bytes);
    }

    /// The pickles, where a changed byte means most: the first part of a legacy file has no checksum.
    #[test]
    fn damaged_pickles_never_panic(changes in prop::collection::vec((0usize..2200, any::<u8>()), 1..6)) {
        let mut bytes = fs::read(fixture("legacy_training.pt")).unwrap();
        for (i, byte) in changes {
            bytes[i] = byte;
        }
        exercise(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        head in prop::sample::select(vec![&b""[..], b"PK\x03\x04", b"PK\x05\x06", b"\x80\x02", b"\x30\0\0\0\0\0\0\0{\""]),
        tail in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        exercise(&[head, &tail].concat());
    }

    #[test]
    fn random_safetensors_round_trip(tensors in tensors()) {
        let views = tensors.iter().map(|(name, (dtype, shape, data))| {
            (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        let file = TempFile::new(&safetensors::serialize(views, None).unwrap());
        let checkpoint = Checkpoint::open(file.path()).unwrap();
        prop_assert!(checkpoint.tensors().keys().eq(tensors.keys()));
        for (name, (dtype, shape, data)) in &tensors {
            prop_assert_eq!(&checkpoint.tensors()[name].shape, shape);
            // The same bytes through another path: numbers of known width, converted one by one.
            let size = dtype.bitsize() / 8;
            let expected: Vec<f32> = data.chunks(size).map(|cell| number(*dtype, cell)).collect();
            let got = checkpoint.read_f32(name).unwrap();
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&got), bits(&expected));
            let whole = !matches!(dtype, Dtype::F32 | Dtype::F64);
            prop_assert_eq!(checkpoint.read_i64(name).is_ok(), whole);
        }
    }
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn tensors() -> impl Strategy<Value = Tensors> {
    let dtypes = vec![
        Dtype::F32,
        Dtype::F64,
        Dtype::I64,
        Dtype::I32,
        Dtype::I16,
        Dtype::I8,
        Dtype::U8,
    ];
    let tensor = (
        prop::sample::select(dtypes),
        prop::collection::vec(0usize..5, 0..4),
    )
        .prop_flat_map(|(dtype, shape)| {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            let data = prop::collection::vec(any::<u8>(), bytes);
            (Just(dtype), Just(shape), data)
        });
    // A name that is no `module.*`: the prefix that all names carry would be taken off.
    prop::collection::btree_map("[a-l][\\PC]{0,6}", tensor, 1..6)
}

fn number(dtype: Dtype, cell: &[u8]) -> f32 {
    let mut wide = [0; 8];
    wide[..cell.len()].copy_from_slice(cell);
    let bits = u64::from_le_bytes(wide);
    let unused = 64 - 8 * cell.len();
    let signed = (bits << unused).cast_signed() >> unused;
    match dtype {
        Dtype::F32 => f32::from_bits(bits as u32),
        Dtype::F64 => f64::from_bits(bits) as f32,
        Dtype::U8 => bits as f32,
        _ => signed as f32,
    }
}
