#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::fixtures::{Table, folder, official, small};
use crate::config::{Architecture, describe};
use crate::tensor::DType;

fn architecture(table: &Table) -> Architecture {
    let roberta = folder().join("roberta");
    let tokenizer = (table.rows.len() == 462).then_some(roberta.as_path());
    describe(table, None, tokenizer).unwrap().architecture
}

fn audited(table: &Table) -> Audit {
    audit(table, &architecture(table))
}

#[test]
fn official_lists_are_complete_without_rest() {
    for table in [
        official('t'),
        official('s'),
        official('b'),
        official('r'),
        small(),
    ] {
        let arch = architecture(&table);
        let found = audit(&table, &arch);
        assert_eq!(
            (&found.missing, &found.unused, &found.wrong_shape),
            (&vec![], &vec![], &vec![])
        );
        // Key for key: what is expected is exactly what the official constructor made.
        let shapes = crate::config::source::Shapes::new(&table);
        let names = expected(&arch, &Widths::read(&shapes, &arch));
        assert!(
            names
                .keys()
                .map(String::as_str)
                .eq(shapes.tensors.keys().copied())
        );
    }
}

#[test]
fn stage_sizes_are_those_of_pytorch() {
    // Element counts of the official models' tensors that inference needs, summed in Python.
    for (model, backbone, mask) in [
        ('t', 29_960_934, 1_211_617),
        ('s', 51_619_542, 1_211_617),
        ('b', 90_451_912, 1_212_641),
        ('r', 29_200_320, 1_216_737),
    ] {
        let sizes = audited(&official(model)).per_stage;
        let counts: Vec<_> = sizes.iter().map(|s| s.parameters).collect();
        assert_eq!(
            counts,
            [124_252_416, backbone, 794_624, 8_888_590, 50_949_379, mask]
        );
        assert!(sizes.iter().all(|s| s.bytes == 4 * s.parameters));
        assert_eq!(
            sizes.iter().map(|s| s.stage).collect::<Vec<_>>(),
            Stage::ALL
        );
    }
}

#[test]
fn renamed_and_lost_keys_are_reported_with_the_nearest_name() {
    let mut table = official('t');
    let arch = architecture(&table);
    for (name, _, _) in &mut table.rows {
        if name == "query_fusion.norm.weight" {
            *name = "query_fusion.norm.wieght".to_owned();
        }
    }
    let table = table
        .without("voc.decoder_norm.bias")
        .with("controller.layers.0.weight", &[256, 255])
        .with("ema.decay", &[1]);
    let found = audit(&table, &arch);
    let missing: Vec<_> = found
        .missing
        .iter()
        .map(|m| (m.key.as_str(), m.nearest.as_deref()))
        .collect();
    assert_eq!(
        missing,
        [
            ("query_fusion.norm.weight", Some("query_fusion.norm.wieght")),
            ("voc.decoder_norm.bias", None),
        ]
    );
    let unused: Vec<_> = found
        .unused
        .iter()
        .map(|u| (u.key.as_str(), u.nearest.as_deref()))
        .collect();
    assert_eq!(
        unused,
        [
            ("ema.decay", None),
            ("query_fusion.norm.wieght", Some("query_fusion.norm.weight")),
        ]
    );
    let wrong = &found.wrong_shape[0];
    assert_eq!(
        (&*wrong.expected, &*wrong.got),
        (&[256, 256][..], &[256, 255][..])
    );
    assert!(!found.complete());
}

#[test]
fn copies_buffers_and_counters_may_come_and_go() {
    let lean = official('t')
        .without("text_encoder.pooler.")
        .without("class_embed.0.")
        .without("backbone.0.body.layers.0.blocks.0.attn.relative_position_index");
    assert_eq!(audited(&lean).missing, []);
    let mut full = official('r')
        .with("text_encoder.embeddings.position_ids", &[1, 514])
        .with("backbone.0.body.bn1.num_batches_tracked", &[])
        .with("voc.total_ops", &[1])
        .with("total_params", &[1]);
    full.rows
        .push(("a.relative_position_index".to_owned(), DType::I64, vec![1]));
    assert_eq!(audited(&full).unused, []);
}

#[test]
fn without_refinement_only_the_last_box_head_is_needed() {
    let table = official('t').without("transformer.decoder.bbox_embed.");
    let arch = architecture(&table);
    assert!(!arch.with_box_refine);
    assert_eq!(
        audit(&table.clone().without("bbox_embed.0."), &arch).missing,
        []
    );
    let lost = audit(&table.without("bbox_embed.2.layers.2.bias"), &arch).missing;
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (lost[0].key.as_str(), lost[0].stage),
        ("bbox_embed.2.layers.2.bias", Stage::Temporal)
    );
}
