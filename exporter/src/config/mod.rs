//! What a checkpoint is: dims read off tensor shapes, the rest from the official YAML or the paper's defaults.
//!
//! [`read`] gives the [`Architecture`] and, for every fact in it, where the fact came from. What the configuration file
//! says and the shapes show must agree. A checkpoint that the official code itself cannot run is refused with the reason.

mod architecture;
mod backbone;
mod error;
mod facts;
mod mask;
pub(crate) mod source;
mod text;
mod yaml;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_refusals;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use architecture::{
    Architecture, Backbone, MaskConfig, ResNetConfig, SwinConfig, TemporalConfig, TextConfig,
    TransformerConfig,
};
pub(crate) use backbone::BODY;
pub use error::{ConfigError, Refusal};
pub use facts::{Fact, Origin};
pub use source::Source;
pub use yaml::Yaml;

use facts::{Ledger, disagree};
use source::Shapes;

/// Feature levels of the deformable transformer: the only number that the official forward pass works with.
pub const LEVELS: usize = 4;

/// An architecture and where its facts came from.
#[derive(Debug, Clone, Serialize)]
pub struct Described {
    /// The numbers that define the model.
    pub architecture: Architecture,
    /// Each fact with its origin, in the order in which the model uses them.
    pub facts: Vec<Fact>,
    /// Folder of the text encoder's `config.json`, where there is one; its tokenizer lies beside it.
    pub text_encoder_dir: Option<PathBuf>,
}

/// Establishes what the checkpoint is.
///
/// `yaml` is the official configuration file; `tokenizer_dir` a folder with the text encoder's `config.json`. Either
/// may be missing: the paper's defaults stand in for what shapes do not tell.
///
/// # Errors
/// A file cannot be read; a key that everything depends on is missing or has an impossible shape; the configuration and
/// the shapes disagree; the official code cannot run such a model.
pub fn read<S: Source>(
    checkpoint: &S,
    yaml: Option<&Path>,
    tokenizer_dir: Option<&Path>,
) -> Result<Described, ConfigError> {
    let yaml = yaml.map(Yaml::read).transpose()?;
    describe(checkpoint, yaml, tokenizer_dir)
}

/// As [`read`], with the configuration file already parsed.
///
/// # Errors
/// As [`read`].
pub fn describe(
    checkpoint: &dyn Source,
    yaml: Option<Yaml>,
    tokenizer_dir: Option<&Path>,
) -> Result<Described, ConfigError> {
    let shapes = &Shapes::new(checkpoint);
    let ledger = &mut Ledger::new(yaml);
    refuse_other_models(shapes)?;
    refuse_settings(shapes, ledger)?;
    let (text, text_encoder_dir) = text::read(shapes, ledger, tokenizer_dir)?;
    let backbone = backbone::read(shapes, ledger)?;
    let d_model = width(shapes, ledger)?;
    let (num_queries, num_proxies) = queries(shapes, ledger)?;
    let transformer = transformer(shapes, ledger, d_model)?;
    refuse_unrunnable(shapes, &transformer, num_queries)?;
    let with_box_refine = box_refine(shapes, ledger, transformer.dec_layers)?;
    let temporal = temporal(shapes, ledger, d_model)?;
    let classes = "class_embed.0.weight";
    let last_classes = format!("class_embed.{}.weight", transformer.dec_layers - 1);
    let classes = if shapes.has(classes) {
        classes
    } else {
        &last_classes
    };
    let [num_classes, _] = shapes.axes::<2>(classes, "[classes, d_model]")?;
    let num_classes = ledger.shown("num_classes", num_classes, classes, &["num_classes"])?;
    let architecture = Architecture {
        backbone,
        d_model,
        num_queries,
        num_classes,
        num_proxies,
        with_box_refine,
        transformer,
        temporal,
        mask: mask::read(shapes, ledger)?,
        text,
        eval_short_size: ledger.setting("eval_short_size", 360)?,
        eval_max_size: ledger.setting("eval_max_size", 640)?,
    };
    Ok(Described {
        architecture,
        facts: std::mem::take(&mut ledger.facts),
        text_encoder_dir,
    })
}

/// Refuses what the keys alone show to be another model.
fn refuse_other_models(shapes: &Shapes<'_>) -> Result<(), ConfigError> {
    for prefix in ["transformer.", "voc.", "spatial_decoder."] {
        if !shapes.has_prefix(prefix) {
            return Err(shapes.refused(Refusal::NotSoc(prefix)));
        }
    }
    if !shapes.has_prefix("voc.score_embd.") {
        return Err(shapes.refused(Refusal::PlainSoc));
    }
    for key in ["proxy_embed.weight", "v2p.multihead_attn.in_proj_weight"] {
        if !shapes.has(key) {
            let reason = Refusal::NoProxies(format!("no `{key}`"));
            return Err(shapes.refused(reason));
        }
    }
    for prefix in ["transformer.enc_output.", "transformer.pos_trans."] {
        if shapes.has_prefix(prefix) {
            return Err(shapes.refused(Refusal::TwoStage(format!("`{prefix}*` is there"))));
        }
    }
    Ok(())
}

/// Refuses settings with which the official code cannot run.
fn refuse_settings(shapes: &Shapes<'_>, ledger: &mut Ledger) -> Result<(), ConfigError> {
    if ledger.flag("use_proxymmf")? == Some(false) {
        let reason = format!("{} is false", ledger.said_by("use_proxymmf"));
        return Err(shapes.refused(Refusal::NoProxies(reason)));
    }
    let two_stage = "DeformTransformer.two_stage";
    if ledger.flag(two_stage)? == Some(true) {
        let reason = Refusal::TwoStage(ledger.said_by(two_stage).to_string());
        return Err(shapes.refused(reason));
    }
    match ledger.number("VOC.window_size")? {
        None | Some(0) => {}
        Some(n) => return Err(shapes.refused(Refusal::TemporalWindow(n as u64))),
    }
    if ledger.flag("vl_loss")? == Some(false) {
        return Err(shapes.refused(Refusal::NoTextFeature));
    }
    let levels = "DeformTransformer.num_feature_levels";
    match ledger.number(levels)? {
        None | Some(LEVELS) => Ok(()),
        Some(n) => Err(shapes.refused(Refusal::FeatureLevels {
            levels: n as u64,
            origin: ledger.said_by(levels).to_string(),
        })),
    }
}

/// Least places that the official decoder picks from, per query.
const LEAST_SAMPLES: usize = 30;

/// Refuses dims with which the official code is built but cannot run.
fn refuse_unrunnable(
    shapes: &Shapes<'_>,
    transformer: &TransformerConfig,
    num_queries: usize,
) -> Result<(), ConfigError> {
    let (heads, points) = (transformer.heads, transformer.dec_points);
    if heads.saturating_mul(points).saturating_mul(LEVELS) < LEAST_SAMPLES {
        return Err(shapes.refused(Refusal::DecoderSamples { heads, points }));
    }
    if transformer.dec_layers == num_queries {
        return Err(shapes.refused(Refusal::LayersEqualQueries(num_queries)));
    }
    Ok(())
}

/// C, and the check that there are four levels of it.
fn width(shapes: &Shapes<'_>, ledger: &mut Ledger) -> Result<usize, ConfigError> {
    let key = "transformer.level_embed";
    let [levels, d_model] = shapes.axes::<2>(key, "[4, d_model]")?;
    if levels != LEVELS {
        return Err(shapes.refused(Refusal::FeatureLevels {
            levels: levels as u64,
            origin: Origin::Shape(key.to_owned()).to_string(),
        }));
    }
    let said = ["DeformTransformer.d_model", "VOC.input_dim"];
    ledger.shown("DeformTransformer.d_model", d_model, key, &said)?;
    if !d_model.is_multiple_of(128) {
        return Err(shapes.refused(Refusal::ModelWidth(d_model)));
    }
    ledger.shown("DeformTransformer.num_feature_levels", levels, key, &[])?;
    Ok(d_model)
}

/// Queries per frame (as many per video) and proxies.
fn queries(shapes: &Shapes<'_>, ledger: &mut Ledger) -> Result<(usize, usize), ConfigError> {
    let key = "query_embed.weight";
    let [frame, _] = shapes.axes::<2>(key, "[queries, d_model]")?;
    for other in [
        "voc.query_embed.weight",
        "voc.fq_pos.weight",
        "voc.video_query_embed.weight",
    ] {
        let [video, _] = shapes.axes::<2>(other, "[queries, d_model]")?;
        if video != frame {
            return Err(shapes.refused(Refusal::QueryCounts {
                frame,
                video,
                key: other.to_owned(),
            }));
        }
    }
    let name = "DeformTransformer.num_queries";
    let said = [name, "VOC.num_frame_queries", "VOC.num_queries"];
    let frame = ledger.shown(name, frame, key, &said)?;
    let key = "proxy_embed.weight";
    let [proxies, _] = shapes.axes::<2>(key, "[proxies, d_model]")?;
    let proxies = ledger.shown("num_proxy_query", proxies, key, &["num_proxy_query"])?;
    Ok((frame, proxies))
}

/// The deformable transformer.
fn transformer(
    shapes: &Shapes<'_>,
    ledger: &mut Ledger,
    d_model: usize,
) -> Result<TransformerConfig, ConfigError> {
    let heads = heads(shapes, ledger, "DeformTransformer.nheads", d_model)?;
    let hidden = "transformer.decoder.layers.0.linear1.weight";
    feedforward(shapes, ledger, "DeformTransformer.dim_feedforward", hidden)?;
    let (enc, dec) = ("transformer.encoder.layers", "transformer.decoder.layers");
    let (enc_layers, dec_layers) = (shapes.count(enc)?, shapes.layers(dec)?);
    for (part, layers, setting) in [
        (enc, enc_layers, "DeformTransformer.enc_layers"),
        (dec, dec_layers, "DeformTransformer.dec_layers"),
    ] {
        ledger.shown(setting, layers, &format!("{part}.*"), &[setting])?;
    }
    let mut points = |attention: &str, setting: &str| {
        let key = format!("{attention}.sampling_offsets.weight");
        let [offsets, _] = shapes.axes::<2>(&key, "[heads * 4 * points * 2, d_model]")?;
        let per_point = heads.saturating_mul(LEVELS * 2);
        if !offsets.is_multiple_of(per_point) {
            let form = format!("[{heads} heads * 4 levels * points * 2, {d_model}]");
            return Err(shapes.misshapen(&key, &form));
        }
        ledger.shown(setting, offsets / per_point, &key, &[setting])
    };
    let enc_points = match enc_layers {
        0 => 0,
        _ => points(
            &format!("{enc}.0.self_attn"),
            "DeformTransformer.enc_n_points",
        )?,
    };
    let dec_points = points(
        &format!("{dec}.0.cross_attn"),
        "DeformTransformer.dec_n_points",
    )?;
    Ok(TransformerConfig {
        heads,
        enc_layers,
        dec_layers,
        enc_points,
        dec_points,
    })
}

/// The temporal module.
fn temporal(
    shapes: &Shapes<'_>,
    ledger: &mut Ledger,
    d_model: usize,
) -> Result<TemporalConfig, ConfigError> {
    let heads = heads(shapes, ledger, "VOC.nheads", d_model)?;
    let hidden = "voc.transformer_ffn_layers.0.linear1.weight";
    feedforward(shapes, ledger, "VOC.dim_feedforward", hidden)?;
    let (enc, dec) = (
        "voc.enc_self_attn",
        "voc.transformer_cross_attention_layers",
    );
    let (enc_name, dec_name) = ("VOC.enc_layers", "VOC.dec_layers");
    Ok(TemporalConfig {
        heads,
        enc_layers: ledger.shown(
            enc_name,
            shapes.count(enc)?,
            &format!("{enc}.*"),
            &[enc_name],
        )?,
        dec_layers: ledger.shown(
            dec_name,
            shapes.layers(dec)?,
            &format!("{dec}.*"),
            &[dec_name],
        )?,
    })
}

/// Notes the hidden width of the feed-forward layer at `key`; the graphs read it off the weight.
fn feedforward(
    shapes: &Shapes<'_>,
    ledger: &mut Ledger,
    setting: &str,
    key: &str,
) -> Result<(), ConfigError> {
    let [hidden, _] = shapes.axes::<2>(key, "[hidden, d_model]")?;
    ledger.shown(setting, hidden, key, &[setting]).map(drop)
}

/// Attention heads, which no shape tells: they have to divide the channels.
fn heads(
    shapes: &Shapes<'_>,
    ledger: &mut Ledger,
    setting: &str,
    d_model: usize,
) -> Result<usize, ConfigError> {
    let heads = ledger.setting(setting, 8)?;
    if d_model.is_multiple_of(heads) {
        return Ok(heads);
    }
    let divides = format!("a divisor of d_model {d_model}");
    let shape = Origin::Shape(format!("transformer.level_embed in {}", shapes.file));
    Err(disagree(
        setting,
        (&ledger.said_by(setting), heads.to_string()),
        (&shape, divides),
    ))
}

/// Whether boxes are refined from layer to layer. The official state dict then holds the box heads twice. Where the
/// second copies were removed, the configuration decides; without one, whether the heads differ.
fn box_refine(
    shapes: &Shapes<'_>,
    ledger: &mut Ledger,
    dec_layers: usize,
) -> Result<bool, ConfigError> {
    let name = "with_box_refine";
    let aliases = "transformer.decoder.bbox_embed.";
    let said = ledger.flag(name)?;
    if shapes.has_prefix(aliases) {
        let origin = Origin::Shape(format!("{aliases}*"));
        if said == Some(false) {
            return Err(disagree(
                name,
                (&ledger.said_by(name), false),
                (&origin, true),
            ));
        }
        ledger.note(name, true, origin);
        return Ok(true);
    }
    if let Some(value) = said {
        ledger.note(name, value, ledger.said_by(name));
        return Ok(value);
    }
    let key = |level: usize| format!("bbox_embed.{level}.layers.0.weight");
    let first = shapes.source.reals(&key(0));
    let differ = (1..dec_layers).any(|level| {
        let other = shapes.source.reals(&key(level));
        first.is_some() && other.is_some() && first != other
    });
    let origin = match differ {
        true => Origin::Values("bbox_embed.*".to_owned()),
        false => Origin::Shape(format!("{aliases}* (none)")),
    };
    ledger.note(name, differ, origin);
    Ok(differ)
}
