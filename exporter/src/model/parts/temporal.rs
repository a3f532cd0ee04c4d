//! The temporal module against `NewVOC`, and the random walk against `BMRW`.

use super::{Part, assert_close, run, view};
use crate::config::{
    Architecture, Backbone, MaskConfig, ResNetConfig, TemporalConfig, TextConfig, TransformerConfig,
};
use crate::model::{FRAMES_AT_ONCE, Request, Shapes, temporal};
use crate::nn::Deformable;

/// The fixture's dims; only what the temporal module reads is meant.
fn shapes(levels: usize, frames: usize) -> Shapes {
    let arch = Architecture {
        backbone: Backbone::ResNet(ResNetConfig { blocks: vec![] }),
        d_model: 16,
        num_queries: 3,
        num_classes: 1,
        num_proxies: 1,
        with_box_refine: true,
        transformer: TransformerConfig {
            heads: 1,
            enc_layers: 1,
            dec_layers: levels,
            enc_points: 1,
            dec_points: 1,
        },
        temporal: TemporalConfig {
            heads: 4,
            enc_layers: 1,
            dec_layers: 2,
        },
        mask: MaskConfig {
            kernels_dim: 1,
            controller_layers: 1,
            dynamic_channels: 1,
            rel_coord: true,
        },
        text: TextConfig {
            layers: 1,
            heads: 1,
            pad_token_id: 1,
            layer_norm_eps: 1e-5,
            max_tokens: 8,
        },
        eval_short_size: 64,
        eval_max_size: 64,
    };
    let request = Request {
        frames,
        height: 64,
        width: 64,
        deformable: Deformable::default(),
        frames_at_once: FRAMES_AT_ONCE,
        probe: false,
        annotated_frame: false,
    };
    Shapes::new(&arch, &request).unwrap()
}

#[test]
fn scores_and_video_queries_equal_the_official_ones() {
    let part = Part::open("temporal");
    let w = part.weights().pp("voc");
    for case in part.cases() {
        let all = part.get(case, "frame_queries");
        let (levels, frames) = (all.0[0], all.0[1]);
        let s = shapes(levels, frames);
        let [matching, score, video] = run([all, part.get(case, "text")], |g, [all, text]| {
            let last = g.slice(all, 0, levels - 1, levels).unwrap();
            let last = g.view(last, &[frames, 3, 16]).unwrap();
            let matching = temporal::language_match(g, &s, all, text).unwrap();
            let score = temporal::frame_score(g, &w, &s, all, last, text).unwrap();
            let video = temporal::aggregate(g, &w, &s, last, score, text).unwrap();
            [matching, score, video]
        });
        for (got, key) in [
            (matching, "match"),
            (score, "score"),
            (video, "video_queries"),
        ] {
            assert_close(&got, &part.get(case, key), &format!("{case}, {key}"));
        }
    }
}

#[test]
fn the_scores_of_frames_and_levels_are_scrambled_and_the_past_counts() {
    // What the fixture must hold for the test above to mean anything.
    let part = Part::open("temporal");
    let (shape, all) = part.get("l2_t5", "frame_queries");
    let (_, text) = part.get("l2_t5", "text");
    let size: usize = shape[2..].iter().product();
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    let straight: Vec<f32> = all[5 * size..]
        .chunks(size)
        .map(|frame| {
            let cosine = |q: &[f32]| q.iter().zip(&text).map(|(a, b)| a * b).sum::<f32>() / norm(q);
            let mean = frame.chunks(16).map(cosine).sum::<f32>() / 3.0 / norm(&text);
            1.0 / (1.0 + (-mean).exp())
        })
        .collect();
    let (_, official) = part.get("l2_t5", "match");
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3);
    assert!(apart(&straight, &official));
    let (_, change) = part.get("l2_t5", "change");
    assert!(apart(&change[1..], &change[..4]));
}

#[test]
fn the_random_walk_equals_the_official_one() {
    let part = Part::open("random_walk");
    for case in part.cases() {
        let operands = [part.get(case, "video"), part.get(case, "frames")];
        let [got] = run(operands, |g, [video, frames]| {
            [temporal::random_walk(g, video, frames).unwrap()]
        });
        let expected = part.get(case, "output");
        let shape = expected.0.clone();
        assert_close(&view(got, &shape), &expected, case);
    }
}
