#![allow(clippy::unwrap_used)]

use super::fixtures::{Table, folder, official, small};
use super::*;

/// The official YAML form with some settings.
fn yaml(text: &str) -> Option<Yaml> {
    Some(Yaml::parse(Path::new("model.yaml"), text).unwrap())
}

fn refusal(table: &Table, text: Option<&str>) -> String {
    match describe(table, text.and_then(yaml), None) {
        Err(e @ ConfigError::Refused { .. }) => e.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

fn error(table: &Table, text: Option<&str>) -> String {
    describe(table, text.and_then(yaml), None)
        .unwrap_err()
        .to_string()
}

fn origin(described: &Described, name: &str) -> String {
    let fact = described.facts.iter().find(|f| f.name == name);
    fact.unwrap_or_else(|| panic!("no fact {name}"))
        .origin
        .to_string()
}

fn swin(embed_dim: usize, depth: usize, heads: usize) -> Backbone {
    Backbone::VideoSwin(SwinConfig {
        embed_dim,
        depths: vec![2, 2, depth, 2],
        num_heads: vec![heads, heads * 2, heads * 4, heads * 8],
        window: [8, 7, 7],
        patch: [4, 4],
    })
}

#[test]
fn the_four_official_models_are_read_off_their_shapes() {
    let resnet = Backbone::ResNet(ResNetConfig {
        blocks: vec![3, 4, 6, 3],
    });
    for (model, name, backbone) in [
        ('t', "video-swin-t", swin(96, 6, 3)),
        ('s', "video-swin-s", swin(96, 18, 3)),
        ('b', "video-swin-b", swin(128, 18, 4)),
        ('r', "resnet50", resnet),
    ] {
        let arch = describe(&official(model), None, None).unwrap().architecture;
        assert_eq!(arch.backbone.name(), name);
        let expected = Architecture {
            backbone,
            d_model: 256,
            num_queries: 20,
            num_classes: 1,
            num_proxies: 20,
            with_box_refine: true,
            transformer: TransformerConfig {
                heads: 8,
                enc_layers: 3,
                dec_layers: 3,
                enc_points: 4,
                dec_points: 4,
            },
            temporal: TemporalConfig {
                heads: 8,
                enc_layers: 3,
                dec_layers: 3,
            },
            mask: MaskConfig {
                kernels_dim: 8,
                controller_layers: 3,
                dynamic_channels: 8,
                rel_coord: true,
            },
            text: TextConfig {
                layers: 12,
                heads: 12,
                pad_token_id: 1,
                layer_norm_eps: 1e-5,
                max_tokens: 512,
            },
            eval_short_size: 360,
            eval_max_size: 640,
        };
        assert_eq!(arch, expected, "{name}");
    }
}

#[test]
fn the_small_model_with_its_yaml() {
    let file = folder().join("shapes.yaml");
    let described = read(&small(), Some(&file), None).unwrap();
    let arch = &described.architecture;
    assert_eq!(arch.backbone.name(), "video-swin (custom)");
    let Backbone::VideoSwin(swin) = &arch.backbone else {
        panic!("not a swin");
    };
    assert_eq!((swin.embed_dim, swin.window), (16, [8, 7, 7]));
    assert_eq!(
        (&*swin.depths, &*swin.num_heads),
        (&[2, 2, 2, 2][..], &[1, 2, 4, 8][..])
    );
    assert_eq!(
        (arch.d_model, arch.num_queries, arch.num_proxies),
        (128, 5, 5)
    );
    assert_eq!(
        (arch.transformer.enc_layers, arch.transformer.dec_layers),
        (2, 3)
    );
    assert_eq!((arch.temporal.enc_layers, arch.temporal.dec_layers), (2, 2));
    assert_eq!((arch.eval_short_size, arch.eval_max_size), (96, 160));
    // `text_encoder_type: ./roberta` is found beside the file: 4 heads of 16, not 1 of 64.
    let text = TextConfig {
        layers: 2,
        heads: 4,
        pad_token_id: 1,
        layer_norm_eps: 1e-5,
        max_tokens: 64,
    };
    assert_eq!(arch.text, text);
    let said = |key: &str| format!("YAML {}: {key}", file.display());
    for (name, expected) in [
        (
            "DeformTransformer.d_model",
            "shape of transformer.level_embed".to_owned(),
        ),
        ("DeformTransformer.nheads", said("DeformTransformer.nheads")),
        ("rel_coord", said("rel_coord")),
        ("eval_short_size", said("eval_short_size")),
        (
            "with_box_refine",
            "shape of transformer.decoder.bbox_embed.*".to_owned(),
        ),
        (
            "text.num_attention_heads",
            folder().join("./roberta/config.json").display().to_string(),
        ),
    ] {
        assert_eq!(origin(&described, name), expected, "{name}");
    }
}

#[test]
fn origins_without_a_yaml() {
    let described = describe(&small(), None, Some(&folder().join("roberta"))).unwrap();
    assert_eq!(described.architecture.text.heads, 4);
    assert_eq!(origin(&described, "VOC.nheads"), "paper default");
    assert_eq!(
        origin(&described, "rel_coord"),
        "shape of controller.layers.2.weight"
    );
    let json = serde_json::to_value(&described).unwrap();
    assert_eq!(
        json["architecture"]["backbone"]["video_swin"]["embed_dim"],
        16
    );
    assert_eq!(
        json["facts"][0]["origin"],
        "shape of text_encoder.embeddings.word_embeddings.weight"
    );
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
fn settings_may_stand_alone_or_under_value() {
    for text in [
        "eval_short_size: 320\nVOC: {nheads: 4}",
        "eval_short_size:\n  desc: size\n  value: 320\nVOC:\n  value:\n    nheads: {value: 4}",
    ] {
        let arch = describe(&official('t'), yaml(text), None)
            .unwrap()
            .architecture;
        assert_eq!((arch.eval_short_size, arch.temporal.heads), (320, 4));
    }
}

#[test]
fn the_mask_head_follows_from_its_parameters() {
    // The official formula for kernels 8: without coordinates 8*8+8 + 8*8+8 + 8+1 = 153; 16 channels with coordinates
    // (8+2)*16+16 + 16*16+16 + 16+1 = 465.
    for (made, channels, rel_coord) in [(169, 8, true), (153, 8, false), (465, 16, true)] {
        let table = official('t').with("controller.layers.2.weight", &[made, 256]);
        let mask = describe(&table, None, None).unwrap().architecture.mask;
        assert_eq!(
            (mask.dynamic_channels, mask.rel_coord),
            (channels, rel_coord)
        );
        assert_eq!(mask.parameters(), Some(made));
    }
    let table = official('t').with("controller.layers.2.weight", &[170, 256]);
    assert!(error(&table, None).contains("makes 170 parameters"));
}

#[test]
fn box_refinement_without_second_copies() {
    let single = || official('t').without("transformer.decoder.bbox_embed.");
    let refined = |table: &Table, text: Option<&str>| {
        describe(table, text.and_then(yaml), None)
            .unwrap()
            .architecture
            .with_box_refine
    };
    assert!(!refined(&single(), None));
    assert!(refined(&single(), Some("with_box_refine: {value: True}")));
    let mut differing = single();
    for (level, value) in [(0, 1.0), (1, 2.0)] {
        differing
            .reals
            .push((format!("bbox_embed.{level}.layers.0.weight"), vec![value]));
    }
    assert!(refined(&differing, None));
    differing.reals.iter_mut().for_each(|(_, v)| *v = vec![1.0]);
    assert!(!refined(&differing, None));
}

#[test]
fn other_windows_are_read_from_the_index() {
    let attention = format!("{BODY}.layers.0.blocks.0.attn");
    let index = format!("{attention}.relative_position_index");
    let table = || {
        official('t')
            .with(
                &format!("{attention}.relative_position_bias_table"),
                &[3 * 3 * 5, 3],
            )
            .with(&index, &[12, 12])
    };
    let window = |table: &Table| match describe(table, None, None).unwrap().architecture.backbone {
        Backbone::VideoSwin(swin) => swin.window,
        Backbone::ResNet(_) => panic!("not a swin"),
    };
    // Shapes alone cannot tell 2x2x3 from 3x2x2: square windows are preferred.
    assert_eq!(window(&table()), [3, 2, 2]);
    let mut known = table();
    // PyTorch: the official constructor's index for window (2, 2, 3), first row; the others are not looked at.
    let mut values = vec![22, 21, 20, 17, 16, 15, 7, 6, 5, 2, 1, 0];
    values.resize(144, 0);
    known.integers.push((index.clone(), values));
    assert_eq!(window(&known), [2, 2, 3]);
    let odd = official('t').with(
        &format!("{attention}.relative_position_bias_table"),
        &[2534, 3],
    );
    assert!(error(&odd, None).contains("[2534, 3], expected [(2t-1)(2h-1)(2w-1), heads]"));
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
