#![allow(clippy::unwrap_used)]

use super::fixtures::{Table, folder, official, small};
use super::tests::{error, yaml};
use super::*;

fn refusal(table: &Table, text: Option<&str>) -> String {
    match describe(table, text.and_then(yaml), None) {
        Err(e @ ConfigError::Refused { .. }) => e.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_the_official_code_cannot_run_is_refused() {
    let t = || official('t');
    for (table, text, reason) in [
        (t().without("voc.score_embd"), None, "SOC, not SOC++"),
        (
            t().without("proxy_embed"),
            None,
            "no proxies (no `proxy_embed.weight`)",
        ),
        (t().without("v2p"), None, "no proxies (no `v2p."),
        (
            t(),
            Some("use_proxymmf: {value: false}"),
            "no proxies (YAML model.yaml: use_proxymmf is false)",
        ),
        (
            t().with("transformer.level_embed", &[3, 256]),
            None,
            "3 feature levels (shape of",
        ),
        (
            t(),
            Some("DeformTransformer: {value: {num_feature_levels: 5}}"),
            "5 feature levels (YAML",
        ),
        (
            t(),
            Some("VOC: {value: {window_size: 4}}"),
            "VOC.window_size is 4",
        ),
        (
            t(),
            Some("DeformTransformer: {value: {two_stage: true}}"),
            "two_stage is on (YAML",
        ),
        (
            t().with("transformer.enc_output.weight", &[256, 256]),
            None,
            "two_stage is on (`transformer",
        ),
        (t(), Some("vl_loss: {value: false}"), "vl_loss is false"),
        (
            t().with("transformer.level_embed", &[4, 192]),
            None,
            "d_model is 192",
        ),
        (
            t().with("voc.fq_pos.weight", &[10, 256]),
            None,
            "20 frame queries (`query_embed.weight`) and 10",
        ),
        (
            t().without("backbone."),
            None,
            "backbone is unknown (there is no key",
        ),
        (
            t().without("backbone.0.body.layers.3."),
            None,
            "3 stages instead of 4",
        ),
        (t().without("voc."), None, "no SOC++ key (`voc.`"),
        (
            t(),
            Some("controller_layers: {value: 1}"),
            "controller_layers is 1",
        ),
        (
            t().with(
                "transformer.decoder.layers.0.cross_attn.sampling_offsets.weight",
                &[32, 256],
            ),
            Some("DeformTransformer: {value: {nheads: 4}}"),
            "samples 4 heads * 4 levels * 1 points = 16 places",
        ),
        (
            [
                "query_embed",
                "voc.query_embed",
                "voc.fq_pos",
                "voc.video_query_embed",
            ]
            .iter()
            .fold(t(), |t, key| t.with(&format!("{key}.weight"), &[3, 256])),
            None,
            "it has 3 decoder layers and as many queries",
        ),
        (Table::default(), None, "no SOC++ key"),
    ] {
        let message = refusal(&table, text);
        assert!(
            message.starts_with("model.tar: refused: ") && message.contains(reason),
            "{message}"
        );
    }
}

#[test]
fn a_transformer_without_encoder_layers_runs_officially_too() {
    let table = official('t').without("transformer.encoder.");
    let arch = describe(&table, None, None).unwrap().architecture;
    assert_eq!(arch.transformer.enc_layers, 0);
    assert_eq!(arch.transformer.dec_layers, 3);
    assert!(crate::keys::audit(&table, &arch).complete());
}

#[test]
fn yaml_and_shapes_must_agree() {
    let deformable = |setting: &str| format!("DeformTransformer: {{value: {{{setting}}}}}");
    let voc = |setting: &str| format!("VOC: {{value: {{{setting}}}}}");
    for (text, said, shown) in [
        (
            deformable("d_model: 512"),
            "DeformTransformer.d_model says 512",
            "level_embed says 256",
        ),
        (
            voc("input_dim: 512"),
            "VOC.input_dim says 512",
            "level_embed says 256",
        ),
        (
            deformable("num_queries: 5"),
            "num_queries says 5",
            "query_embed.weight says 20",
        ),
        (
            voc("num_frame_queries: 5"),
            "num_frame_queries says 5",
            "query_embed.weight says 20",
        ),
        (
            deformable("enc_layers: 4"),
            "enc_layers says 4",
            "transformer.encoder.layers.* says 3",
        ),
        (voc("dec_layers: 6"), "VOC.dec_layers says 6", "says 3"),
        (deformable("nheads: 16"), "enc_n_points says 4", "says 2"),
        (
            deformable("nheads: 7"),
            "DeformTransformer.nheads says 7",
            "a divisor of d_model 256",
        ),
        (
            deformable("dim_feedforward: 1024"),
            "says 1024",
            "linear1.weight says 2048",
        ),
        (
            "num_classes: 65".to_owned(),
            "num_classes says 65",
            "class_embed.0.weight says 1",
        ),
        (
            "num_proxy_query: 8".to_owned(),
            "num_proxy_query says 8",
            "proxy_embed.weight says 20",
        ),
        (
            "mask_kernels_dim: 16".to_owned(),
            "says 16",
            "out_lay.weight says 8",
        ),
        (
            "with_box_refine: false".to_owned(),
            "says false",
            "bbox_embed.* says true",
        ),
        (
            "rel_coord: false".to_owned(),
            "says 153 parameters",
            "controller.layers.2.weight says 169",
        ),
        (
            "backbone: resnet50".to_owned(),
            "says resnet50",
            "says video-swin",
        ),
    ] {
        // The 16 heads are only caught through the points that the file also states.
        let text = text.replace("nheads: 16", "nheads: 16, enc_n_points: 4");
        let message = error(&official('t'), Some(&text));
        assert!(
            message.contains(said) && message.contains(shown),
            "{text}: {message}"
        );
        assert!(message.contains("model.yaml"), "{message}");
    }
}

#[test]
fn unusable_files_are_named() {
    let path = Path::new("model.yaml");
    for text in ["", "- 1", "a: [1", "a: 1\na: 2", "just words"] {
        let message = Yaml::parse(path, text).unwrap_err().to_string();
        assert!(message.starts_with("model.yaml: not a usable"), "{message}");
    }
    for (text, expected) in [
        (
            "num_classes: {value: many}",
            "`num_classes` is \"many\", expected a whole number",
        ),
        (
            "VOC: {value: {nheads: -1}}",
            "`VOC.nheads` is -1, expected a whole number",
        ),
        (
            "VOC: {value: {nheads: 0}}",
            "`VOC.nheads` is 0, expected a positive whole number",
        ),
        (
            "rel_coord: {value: 1}",
            "`rel_coord` is 1, expected true or false",
        ),
    ] {
        let message = error(&official('t'), Some(text));
        assert!(message.contains(expected), "{message}");
    }
    let absent = read(&small(), Some(Path::new("/nowhere/model.yaml")), None).unwrap_err();
    assert!(
        absent
            .to_string()
            .starts_with("/nowhere/model.yaml: cannot be read")
    );
}

#[test]
fn impossible_checkpoints_give_errors() {
    let position = "text_encoder.embeddings.position_embeddings.weight";
    let offsets = "transformer.encoder.layers.0.self_attn.sampling_offsets.weight";
    for (table, expected) in [
        (
            official('t').without("query_embed"),
            "no `query_embed.weight`",
        ),
        (
            official('t').with("query_embed.weight", &[20]),
            "`query_embed.weight` has shape [20]",
        ),
        (
            official('t').with("query_embed.weight", &[0, 256]),
            "has shape [0, 256]",
        ),
        (
            official('t').with(position, &[2, 768]),
            "more positions than pad_token_id 1 + 1",
        ),
        (
            official('t').with(offsets, &[255, 256]),
            "[8 heads * 4 levels * points * 2, 256]",
        ),
        (
            official('t').with("voc.enc_self_attn.4000000000.norm.weight", &[1]),
            "numbered up to 4000000000",
        ),
        (
            small().with("text_encoder.embeddings.word_embeddings.weight", &[400, 72]),
            "no multiple of 64",
        ),
    ] {
        let message = error(&table, None);
        assert!(message.contains(expected), "{message}");
    }
    let huge = official('t').with("transformer.level_embed", &[4, usize::MAX]);
    assert!(error(&huge, None).contains("d_model is"));
    let wide = format!("{BODY}.patch_embed.proj.weight");
    let huge = official('t').with(&wide, &[usize::MAX, 3, 1, 4, 4]);
    drop(describe(&huge, None, None));
    let bias = format!("{BODY}.layers.0.blocks.0.attn.relative_position_bias_table");
    let huge = official('t').with(&bias, &[usize::MAX, 3]);
    assert!(error(&huge, None).contains("relative_position_bias_table"));
    let offset = "transformer.level_embed";
    let huge = official('t').with(offset, &[4, 1 << 63]);
    let heads = format!("DeformTransformer: {{value: {{nheads: {}}}}}", 1u64 << 62);
    assert!(error(&huge, Some(&heads)).contains("sampling_offsets"));
}

#[test]
fn a_text_configuration_of_another_model_is_refused() {
    let message = describe(&official('t'), None, Some(&folder().join("roberta"))).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("roberta/config.json says 64"), "{message}");
    assert!(
        message.contains("word_embeddings.weight says 768"),
        "{message}"
    );
}
