#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use safetensors::SafeTensors;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::write::{plan, position_index};
use super::*;
use crate::checkpoint::Checkpoint;
use crate::config::fixtures::official;
use crate::config::{Architecture, Backbone, SwinConfig, describe};
use crate::digest::hex;
use crate::keys::{Widths, audit};
use crate::tensor::DType;

const LETTERS: [(Preset, char); 4] = [
    (Preset::VideoSwinT, 't'),
    (Preset::VideoSwinS, 's'),
    (Preset::VideoSwinB, 'b'),
    (Preset::Resnet50, 'r'),
];

#[test]
fn the_published_check_values() {
    assert_eq!(
        values("bbox_embed.0.layers.0.weight", &[2, 3]),
        [
            -0.628_752_6,
            -0.909_313_1,
            -0.796_062_23,
            -0.118_681_31,
            -0.128_201_96,
            0.735_815_5
        ]
    );
}

#[test]
fn every_line_of_the_rule_is_numpys_to_the_bit() {
    #[derive(Deserialize)]
    struct Case {
        key: String,
        shape: Vec<usize>,
        bits: Vec<u32>,
    }
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/values.json")).unwrap();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let bits: Vec<u32> = values(&case.key, &case.shape)
            .iter()
            .map(|v| v.to_bits())
            .collect();
        assert_eq!(bits, case.bits, "{}", case.key);
    }
}

#[test]
fn presets_are_the_official_models() {
    for (preset, letter) in LETTERS {
        let read = describe(&official(letter), None, None)
            .unwrap()
            .architecture;
        assert_eq!(preset.architecture(), read);
        assert_eq!(preset.architecture().backbone.name(), preset.name());
        assert_eq!(preset.name().parse(), Ok(preset));
        assert_eq!(preset.to_string(), preset.name());
    }
    let unknown = "video-swin-l".parse::<Preset>().unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "`video-swin-l` is no official model; take one of video-swin-t, video-swin-s, video-swin-b, resnet50"
    );
}

#[test]
fn keys_types_and_shapes_are_the_official_constructors() {
    for (preset, letter) in LETTERS {
        let arch = preset.architecture();
        let planned = plan(&arch, &Widths::official(&arch), Path::new("x")).unwrap();
        let planned: BTreeSet<_> = planned
            .into_iter()
            .map(|t| (t.key, t.dtype, t.shape))
            .collect();
        let expected: BTreeSet<_> = official(letter).rows.into_iter().collect();
        assert_eq!(planned, expected, "{preset}");
    }
}

#[test]
fn position_index_is_the_official_constructors() {
    // `relative_position_index` of the official `WindowAttention3D` under PyTorch 2.15.
    let small: Vec<i64> = (0..36).map(|i| position_index([1, 2, 3], i)).collect();
    assert_eq!(
        small,
        [
            7, 6, 5, 2, 1, 0, 8, 7, 6, 3, 2, 1, 9, 8, 7, 4, 3, 2, 12, 11, 10, 7, 6, 5, 13, 12, 11,
            8, 7, 6, 14, 13, 12, 9, 8, 7
        ]
    );
    let bytes: Vec<u8> = (0..392 * 392)
        .flat_map(|i| position_index([8, 7, 7], i).to_le_bytes())
        .collect();
    assert_eq!(
        hex(&Sha256::digest(&bytes)),
        "617532ad86365ae62776b83be3bddb26e27a1681f91a13793af0bf875935b59c"
    );
}

/// A model of some MB with every kind of tensor.
fn small(with_box_refine: bool) -> (Architecture, Widths) {
    let mut arch = Preset::VideoSwinT.architecture();
    arch.backbone = Backbone::VideoSwin(SwinConfig {
        embed_dim: 8,
        depths: vec![1, 1, 1, 1],
        num_heads: vec![1, 2, 2, 2],
        window: [2, 3, 2],
        patch: [4, 4],
    });
    arch.d_model = 128;
    arch.num_queries = 4;
    arch.with_box_refine = with_box_refine;
    arch.text.layers = 1;
    arch.text.heads = 1;
    let mut widths = Widths::official(&arch);
    widths.feedforward = 16;
    widths.temporal_feedforward = 16;
    widths.text_hidden = 64;
    widths.text_intermediate = 96;
    // More than one piece, so that pieces and threads have seams.
    widths.text_vocabulary = 20_000;
    (arch, widths)
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("socc-synth-{}-{name}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_written_file_is_whole_and_holds_the_rules_values() {
    let folder = Folder::new("whole");
    let path = folder.0.join("model.safetensors");
    let (arch, widths) = small(true);
    let mut heard = Vec::new();
    write_model(&arch, &widths, &path, &mut |done, total| {
        heard.push((done, total))
    })
    .unwrap();
    assert_eq!(folder.files(), ["model.safetensors"]);

    let bytes = fs::read(&path).unwrap();
    let total = bytes.len() as u64;
    assert!(heard.is_sorted() && heard.iter().all(|h| h.1 == total));
    assert_eq!(heard.last(), Some(&(total, total)));

    let file = SafeTensors::deserialize(&bytes).unwrap();
    let planned = plan(&arch, &widths, &path).unwrap();
    assert_eq!(file.len(), planned.len());
    for (name, view) in file.tensors() {
        let (expected, size) = if name.ends_with("relative_position_index") {
            let cells = (0..144).flat_map(|i| position_index([2, 3, 2], i).to_le_bytes());
            (cells.collect::<Vec<u8>>(), 8)
        } else {
            let key = match name.strip_prefix("bbox_embed.") {
                Some(rest) => format!("transformer.decoder.bbox_embed.{rest}"),
                None => name.clone(),
            };
            let cells = values(&key, view.shape());
            (cells.into_iter().flat_map(f32::to_le_bytes).collect(), 4)
        };
        assert!(view.data() == expected, "{name}");
        let begin = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(begin % size, 0, "{name} is not aligned");
    }
}

#[test]
fn the_checkpoint_reader_recognises_what_was_written() {
    let folder = Folder::new("read");
    for refine in [true, false] {
        let path = folder.0.join("model.safetensors");
        let (arch, widths) = small(refine);
        // The second time over the first file.
        write_model(&arch, &widths, &path, &mut |_, _| ()).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let read = describe(&checkpoint, None, None).unwrap().architecture;
        assert_eq!(read, arch);
        let found = audit(&checkpoint, &arch);
        assert!(found.complete() && found.unused.is_empty());
        let index = "backbone.0.body.layers.0.blocks.0.attn.relative_position_index";
        assert_eq!(checkpoint.tensors()[index].dtype, DType::I64);
        assert_eq!(checkpoint.read_i64(index).unwrap()[0], 22);
    }
}

#[test]
fn shared_heads_hold_what_was_drawn_for_their_last_name() {
    #[derive(Deserialize)]
    struct Golden {
        hs: Vec<f64>,
        reference: Vec<f64>,
        refined: Vec<f64>,
    }
    let golden: Golden = serde_json::from_str(include_str!("fixtures/box_head.json")).unwrap();
    let folder = Folder::new("heads");
    let path = folder.0.join("model.safetensors");
    let (mut arch, widths) = small(true);
    arch.d_model = 256;
    write_model(&arch, &widths, &path, &mut |_, _| ()).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let read = |name: String| checkpoint.read_f32(&name).unwrap();
    let mut x = golden.hs;
    for layer in 0..3 {
        let name = format!("bbox_embed.0.layers.{layer}");
        let (weight, bias) = (read(format!("{name}.weight")), read(format!("{name}.bias")));
        let rows = weight.chunks(256).zip(&bias).map(|(row, bias)| {
            let sum: f64 = row.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).sum();
            let sum = sum + f64::from(*bias);
            if layer < 2 { sum.max(0.0) } else { sum }
        });
        x = rows.collect();
    }
    // Sizes, the last two, start at no reference.
    let starts = golden.reference.iter().map(|r| (r / (1.0 - r)).ln());
    let starts = starts.chain([0.0, 0.0]);
    for ((logit, start), expected) in x.iter().zip(starts).zip(&golden.refined) {
        let refined = 1.0 / (1.0 + (-(logit + start)).exp());
        assert!((refined - expected).abs() < 1e-5, "{refined} {expected}");
    }
}

#[test]
fn heads_are_shared_by_all_levels_where_boxes_are_not_refined() {
    let folder = Folder::new("unrefined");
    let path = folder.0.join("model.safetensors");
    let (arch, widths) = small(false);
    write_model(&arch, &widths, &path, &mut |_, _| ()).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    for tail in ["layers.1.weight", "layers.2.bias"] {
        let heads: BTreeMap<_, _> = (0..3)
            .map(|i| format!("bbox_embed.{i}.{tail}"))
            .map(|name| (name.clone(), checkpoint.read_f32(&name).unwrap()))
            .collect();
        let shape = &checkpoint.tensors()[&format!("bbox_embed.2.{tail}")].shape;
        let last = values(&format!("bbox_embed.2.{tail}"), shape);
        assert!(heads.values().all(|head| *head == last));
    }
}

#[test]
fn a_refused_destination_leaves_nothing_behind() {
    let folder = Folder::new("refused");
    let (arch, widths) = small(true);
    let error = |path: &Path| write_model(&arch, &widths, path, &mut |_, _| ()).unwrap_err();
    let missing = folder.0.join("no/such/model.safetensors");
    assert!(matches!(error(&missing), SynthError::Write { path, .. } if path == missing));
    // A folder is in the way: the rename fails after everything was written.
    let taken = folder.0.join("taken");
    fs::create_dir_all(taken.join("inside")).unwrap();
    assert!(matches!(error(&taken), SynthError::Write { .. }));
    assert_eq!(folder.files(), ["taken"]);
    assert!(matches!(
        error(Path::new("/")),
        SynthError::NoFileName { .. }
    ));
    let (mut arch, widths) = small(true);
    arch.num_queries = usize::MAX / 64;
    let absurd = write_model(&arch, &widths, &taken, &mut |_, _| ()).unwrap_err();
    assert!(matches!(absurd, SynthError::TooLarge { .. }), "{absurd}");
}
