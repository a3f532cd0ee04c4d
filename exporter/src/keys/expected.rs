//! The official state dict of an architecture: names, shapes, stages.

use std::collections::BTreeMap;

use super::stage::Stage;
use super::widths::Widths;
use crate::config::{Architecture, BODY, Backbone, LEVELS, SwinConfig};
use crate::tensor::DType;

/// A key of the official state dict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its element type as the official constructor makes it; a checkpoint may hold another.
    pub dtype: DType,
    /// The stage it serves.
    pub stage: Stage,
    /// Whether inference reads it. A checkpoint may lack the others.
    pub needed: bool,
}

/// Every key that the official constructor makes for `arch`, with shape and stage.
pub fn expected(arch: &Architecture, widths: &Widths) -> BTreeMap<String, Expected> {
    let mut list = List {
        keys: BTreeMap::new(),
        stage: Stage::TextEncoder,
        needed: true,
    };
    text_encoder(&mut list, arch, widths);
    list.stage = Stage::VisualBackbone;
    match &arch.backbone {
        Backbone::VideoSwin(swin) => video_swin(&mut list, swin, widths),
        Backbone::ResNet(resnet) => resnet_body(&mut list, &resnet.blocks, widths),
    }
    projections(&mut list, arch, widths);
    list.stage = Stage::Fusion;
    for name in ["vlf", "lvf", "v2p"] {
        list.attention(&format!("{name}.multihead_attn"), arch.d_model);
    }
    list.add("proxy_embed.weight", &[arch.num_proxies, arch.d_model]);
    transformer(&mut list, arch, widths);
    temporal(&mut list, arch, widths);
    mask_head(&mut list, arch, widths);
    list.keys
}

/// Collects keys of one stage after the other.
struct List {
    keys: BTreeMap<String, Expected>,
    stage: Stage,
    needed: bool,
}

impl List {
    fn add(&mut self, key: &str, shape: &[usize]) {
        self.add_typed(key, DType::F32, shape);
    }

    fn add_typed(&mut self, key: &str, dtype: DType, shape: &[usize]) {
        let entry = Expected {
            shape: shape.to_vec(),
            dtype,
            stage: self.stage,
            needed: self.needed,
        };
        self.keys.insert(key.to_owned(), entry);
    }

    /// Runs `body` with all keys marked as (not) needed.
    fn only_if(&mut self, needed: bool, body: impl FnOnce(&mut Self)) {
        let before = self.needed;
        self.needed &= needed;
        body(self);
        self.needed = before;
    }

    fn linear(&mut self, name: &str, from: usize, to: usize) {
        self.add(&format!("{name}.weight"), &[to, from]);
        self.add(&format!("{name}.bias"), &[to]);
    }

    fn conv(&mut self, name: &str, from: usize, to: usize, side: usize) {
        self.add(&format!("{name}.weight"), &[to, from, side, side]);
        self.add(&format!("{name}.bias"), &[to]);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.add(&format!("{name}.weight"), &[channels]);
        self.add(&format!("{name}.bias"), &[channels]);
    }

    fn batch_norm(&mut self, name: &str, channels: usize) {
        self.norm(name, channels);
        self.add(&format!("{name}.running_mean"), &[channels]);
        self.add(&format!("{name}.running_var"), &[channels]);
    }

    /// PyTorch's multi-head attention.
    fn attention(&mut self, name: &str, c: usize) {
        let packed = c.saturating_mul(3);
        self.add(&format!("{name}.in_proj_weight"), &[packed, c]);
        self.add(&format!("{name}.in_proj_bias"), &[packed]);
        self.linear(&format!("{name}.out_proj"), c, c);
    }

    fn feedforward(&mut self, name: &str, c: usize, hidden: usize) {
        self.linear(&format!("{name}.linear1"), c, hidden);
        self.linear(&format!("{name}.linear2"), hidden, c);
        self.norm(&format!("{name}.norm"), c);
    }

    /// Three linear layers.
    fn mlp(&mut self, name: &str, c: usize, to: usize) {
        self.linear(&format!("{name}.layers.0"), c, c);
        self.linear(&format!("{name}.layers.1"), c, c);
        self.linear(&format!("{name}.layers.2"), c, to);
    }
}

fn text_encoder(list: &mut List, arch: &Architecture, widths: &Widths) {
    let (c, hidden) = (widths.text_hidden, widths.text_intermediate);
    let first = usize::try_from(arch.text.pad_token_id)
        .unwrap_or(0)
        .saturating_add(1);
    let positions = arch.text.max_tokens.saturating_add(first);
    let e = "text_encoder.embeddings";
    list.add(
        &format!("{e}.word_embeddings.weight"),
        &[widths.text_vocabulary, c],
    );
    list.add(&format!("{e}.position_embeddings.weight"), &[positions, c]);
    list.add(
        &format!("{e}.token_type_embeddings.weight"),
        &[widths.text_types, c],
    );
    list.norm(&format!("{e}.LayerNorm"), c);
    for i in 0..arch.text.layers {
        let layer = format!("text_encoder.encoder.layer.{i}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            list.linear(&format!("{layer}.attention.{part}"), c, c);
        }
        list.norm(&format!("{layer}.attention.output.LayerNorm"), c);
        list.linear(&format!("{layer}.intermediate.dense"), c, hidden);
        list.linear(&format!("{layer}.output.dense"), hidden, c);
        list.norm(&format!("{layer}.output.LayerNorm"), c);
    }
    // The sentence feature of the pooler is computed by the official code but reaches no output.
    list.only_if(false, |l| l.linear("text_encoder.pooler.dense", c, c));
    list.linear("txt_proj.fc", c, arch.d_model);
    list.norm("txt_proj.layer_norm", arch.d_model);
}

fn video_swin(list: &mut List, swin: &SwinConfig, widths: &Widths) {
    let [height, width] = swin.patch;
    let patch = format!("{BODY}.patch_embed");
    list.add(
        &format!("{patch}.proj.weight"),
        &[swin.embed_dim, 3, 1, height, width],
    );
    list.add(&format!("{patch}.proj.bias"), &[swin.embed_dim]);
    list.norm(&format!("{patch}.norm"), swin.embed_dim);
    let entries = swin.window.iter().fold(1usize, |n, side| {
        n.saturating_mul(side.saturating_mul(2).saturating_sub(1))
    });
    let tokens = swin
        .window
        .iter()
        .fold(1usize, |n, side| n.saturating_mul(*side));
    let stages = swin
        .depths
        .iter()
        .zip(&swin.num_heads)
        .zip(&widths.swin_hidden);
    for (stage, ((&depth, &heads), &hidden)) in stages.enumerate() {
        let c = swin.embed_dim.saturating_mul(1 << stage);
        for b in 0..depth {
            let block = format!("{BODY}.layers.{stage}.blocks.{b}");
            let attention = format!("{block}.attn");
            list.norm(&format!("{block}.norm1"), c);
            list.add(
                &format!("{attention}.relative_position_bias_table"),
                &[entries, heads],
            );
            list.only_if(false, |l| {
                l.add_typed(
                    &format!("{attention}.relative_position_index"),
                    DType::I64,
                    &[tokens, tokens],
                );
            });
            list.linear(&format!("{attention}.qkv"), c, c.saturating_mul(3));
            list.linear(&format!("{attention}.proj"), c, c);
            list.norm(&format!("{block}.norm2"), c);
            list.linear(&format!("{block}.mlp.fc1"), c, hidden);
            list.linear(&format!("{block}.mlp.fc2"), hidden, c);
        }
        if stage + 1 < swin.depths.len() {
            let down = format!("{BODY}.downsamples.{stage}");
            let (two, four) = (c.saturating_mul(2), c.saturating_mul(4));
            list.add(&format!("{down}.reduction.weight"), &[two, four]);
            list.norm(&format!("{down}.norm"), four);
        }
    }
}

fn resnet_body(list: &mut List, blocks: &[usize], widths: &Widths) {
    let (stem, stages) = &widths.resnet;
    list.add(&format!("{BODY}.conv1.weight"), &[*stem, 3, 7, 7]);
    list.batch_norm(&format!("{BODY}.bn1"), *stem);
    let mut from = *stem;
    for (stage, (&count, &(inner, outer))) in blocks.iter().zip(stages).enumerate() {
        for b in 0..count {
            let block = format!("{BODY}.layer{}.{b}", stage + 1);
            for (i, from, to, side) in [
                (1, from, inner, 1),
                (2, inner, inner, 3),
                (3, inner, outer, 1),
            ] {
                list.add(&format!("{block}.conv{i}.weight"), &[to, from, side, side]);
                list.batch_norm(&format!("{block}.bn{i}"), to);
            }
            if b == 0 {
                list.add(
                    &format!("{block}.downsample.0.weight"),
                    &[outer, from, 1, 1],
                );
                list.batch_norm(&format!("{block}.downsample.1"), outer);
            }
            from = outer;
        }
    }
}

/// The levels' projections: three maps, then the last map once more with stride 2.
fn projections(list: &mut List, arch: &Architecture, widths: &Widths) {
    let [_, c3, c4, c5] = widths.maps(&arch.backbone);
    for (level, (from, side)) in [(c3, 1), (c4, 1), (c5, 1), (c5, 3)].into_iter().enumerate() {
        list.conv(&format!("input_proj.{level}.0"), from, arch.d_model, side);
        list.norm(&format!("input_proj.{level}.1"), arch.d_model);
    }
}

fn transformer(list: &mut List, arch: &Architecture, widths: &Widths) {
    let (c, t) = (arch.d_model, &arch.transformer);
    list.stage = Stage::Transformer;
    list.add("query_embed.weight", &[arch.num_queries, c]);
    list.add("transformer.level_embed", &[LEVELS, c]);
    list.linear("transformer.reference_points", c, 2);
    for i in 0..t.enc_layers {
        let layer = format!("transformer.encoder.layers.{i}");
        deformable(
            list,
            &format!("{layer}.self_attn"),
            c,
            t.heads.saturating_mul(t.enc_points),
        );
        list.norm(&format!("{layer}.norm1"), c);
        list.linear(&format!("{layer}.linear1"), c, widths.feedforward);
        list.linear(&format!("{layer}.linear2"), widths.feedforward, c);
        list.norm(&format!("{layer}.norm2"), c);
    }
    for i in 0..t.dec_layers {
        let layer = format!("transformer.decoder.layers.{i}");
        deformable(
            list,
            &format!("{layer}.cross_attn"),
            c,
            t.heads.saturating_mul(t.dec_points),
        );
        list.attention(&format!("{layer}.self_attn"), c);
        list.linear(&format!("{layer}.linear1"), c, widths.feedforward);
        list.linear(&format!("{layer}.linear2"), widths.feedforward, c);
        for norm in 1..=3 {
            list.norm(&format!("{layer}.norm{norm}"), c);
        }
    }
    for level in 0..t.dec_layers {
        // Without refinement only the last level's boxes are asked for, and only after the temporal module.
        let last = level + 1 == t.dec_layers;
        if !arch.with_box_refine {
            list.stage = Stage::Temporal;
        }
        list.only_if(arch.with_box_refine || last, |l| {
            l.mlp(&format!("bbox_embed.{level}"), c, 4)
        });
        if arch.with_box_refine {
            let alias = format!("transformer.decoder.bbox_embed.{level}");
            list.only_if(false, |l| l.mlp(&alias, c, 4));
        }
    }
}

/// Deformable attention; `samples` is heads times points.
fn deformable(list: &mut List, name: &str, c: usize, samples: usize) {
    let weights = samples.saturating_mul(LEVELS);
    list.linear(
        &format!("{name}.sampling_offsets"),
        c,
        weights.saturating_mul(2),
    );
    list.linear(&format!("{name}.attention_weights"), c, weights);
    list.linear(&format!("{name}.value_proj"), c, c);
    list.linear(&format!("{name}.output_proj"), c, c);
}

fn temporal(list: &mut List, arch: &Architecture, widths: &Widths) {
    list.stage = Stage::Temporal;
    let (c, q, hidden) = (arch.d_model, arch.num_queries, widths.temporal_feedforward);
    for i in 0..arch.temporal.enc_layers {
        let attention = format!("voc.enc_self_attn.{i}");
        list.attention(&format!("{attention}.multihead_attn"), c);
        list.norm(&format!("{attention}.norm"), c);
        list.feedforward(&format!("voc.enc_ffn.{i}"), c, hidden);
    }
    for i in 0..arch.temporal.dec_layers {
        for (layers, attention) in [
            ("voc.transformer_cross_attention_layers", "multihead_attn"),
            ("voc.transformer_self_attention_layers", "self_attn"),
        ] {
            list.attention(&format!("{layers}.{i}.{attention}"), c);
            list.norm(&format!("{layers}.{i}.norm"), c);
        }
        list.feedforward(&format!("voc.transformer_ffn_layers.{i}"), c, hidden);
    }
    list.norm("voc.decoder_norm", c);
    for queries in ["fq_pos", "query_embed", "video_query_embed"] {
        list.add(&format!("voc.{queries}.weight"), &[q, c]);
    }
    for score in ["voc.score_embd", "voc.diff_embd"] {
        let all = q.saturating_mul(c);
        list.feedforward(&format!("{score}.0"), all, hidden);
        list.linear(&format!("{score}.1"), all, 1);
    }
    list.attention("query_fusion.multihead_attn", c);
    list.norm("query_fusion.norm", c);
    for level in 0..arch.transformer.dec_layers {
        let last = level + 1 == arch.transformer.dec_layers;
        list.only_if(last, |l| {
            l.linear(&format!("class_embed.{level}"), c, arch.num_classes)
        });
    }
}

fn mask_head(list: &mut List, arch: &Architecture, widths: &Widths) {
    list.stage = Stage::MaskHead;
    let c = arch.d_model;
    let d = "spatial_decoder";
    let mut from = c;
    for (i, divisor) in [1, 2, 4, 8, 16].into_iter().enumerate() {
        list.conv(&format!("{d}.lay{}", i + 1), from, c / divisor, 3);
        list.norm(&format!("{d}.gn{}", i + 1), c / divisor);
        from = c / divisor;
    }
    list.conv(&format!("{d}.out_lay"), from, arch.mask.kernels_dim, 3);
    let [c2, ..] = widths.maps(&arch.backbone);
    for (i, from, divisor) in [(1, c, 2), (2, c, 4), (3, c2, 8)] {
        list.conv(&format!("{d}.adapter{i}"), from, c / divisor, 1);
    }
    list.mlp("controller", c, arch.mask.parameters().unwrap_or_default());
}
