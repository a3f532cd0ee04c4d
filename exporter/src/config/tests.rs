#![allow(clippy::unwrap_used)]

use super::fixtures::{Table, folder, official, small};
use super::*;

/// The official YAML form with some settings.
pub(super) fn yaml(text: &str) -> Option<Yaml> {
    Some(Yaml::parse(Path::new("model.yaml"), text).unwrap())
}

pub(super) fn error(table: &Table, text: Option<&str>) -> String {
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
fn a_mask_head_of_one_layer_has_one_channel() {
    let table = official('t').with("controller.layers.2.weight", &[11, 256]);
    let text = "controller_layers: 1\ndynamic_mask_channels: 1";
    let mask = describe(&table, yaml(text), None)
        .unwrap()
        .architecture
        .mask;
    assert_eq!((mask.controller_layers, mask.dynamic_channels), (1, 1));
    assert_eq!((mask.kernels_dim, mask.rel_coord), (8, true));
}
