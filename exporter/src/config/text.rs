//! The text encoder: layers and positions from shapes; heads, padding and epsilon from its `config.json`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::architecture::TextConfig;
use super::error::{ConfigError, Refusal};
use super::facts::{Ledger, Origin, disagree};
use super::source::Shapes;
use super::yaml::read_text;

/// Channels per head of every published RoBERTa.
const HEAD_CHANNELS: usize = 64;

const WORDS: &str = "text_encoder.embeddings.word_embeddings.weight";
const PLACES: &str = "text_encoder.embeddings.position_embeddings.weight";

/// The part of `config.json` that matters.
#[derive(Debug, Default, Deserialize)]
struct RobertaJson {
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    max_position_embeddings: Option<usize>,
    vocab_size: Option<usize>,
    pad_token_id: Option<i64>,
    layer_norm_eps: Option<f32>,
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
}

/// Reads the text encoder's dims, and the folder that its `config.json` was found in.
pub(crate) fn read(
    shapes: &Shapes<'_>,
    ledger: &mut Ledger,
    tokenizer_dir: Option<&Path>,
) -> Result<(TextConfig, Option<PathBuf>), ConfigError> {
    let [vocabulary, hidden] = shapes.axes::<2>(WORDS, "[vocabulary, hidden]")?;
    let [positions, _] = shapes.axes::<2>(PLACES, "[positions, hidden]")?;
    let layers = shapes.layers("text_encoder.encoder.layer")?;

    let found = locate(ledger, tokenizer_dir)?;
    let (json, origin) = match &found {
        Some(path) => (parse(path)?, Origin::TextConfig(path.clone())),
        None => (RobertaJson::default(), Origin::Default),
    };
    check_kind(shapes, &json)?;
    agree(
        ledger,
        &json,
        &origin,
        [hidden, vocabulary, layers, positions],
    )?;
    let from = |said: bool| {
        if said {
            origin.clone()
        } else {
            Origin::Default
        }
    };
    let heads = heads(shapes, json.num_attention_heads, hidden)?;
    ledger.note(
        "text.num_attention_heads",
        heads,
        from(json.num_attention_heads.is_some()),
    );
    let pad_token_id = json.pad_token_id.unwrap_or(1);
    ledger.note(
        "text.pad_token_id",
        pad_token_id,
        from(json.pad_token_id.is_some()),
    );
    let layer_norm_eps = epsilon(&json, found.as_deref())?;
    ledger.note(
        "text.layer_norm_eps",
        format!("{layer_norm_eps:e}"),
        from(json.layer_norm_eps.is_some()),
    );
    let max_tokens = max_tokens(positions, pad_token_id).ok_or_else(|| {
        shapes.misshapen(
            PLACES,
            &format!("more positions than pad_token_id {pad_token_id} + 1"),
        )
    })?;
    ledger.note(
        "text.max_tokens",
        max_tokens,
        Origin::Shape(PLACES.to_owned()),
    );
    let text = TextConfig {
        layers,
        heads,
        pad_token_id,
        layer_norm_eps,
        max_tokens,
    };
    let dir = found.as_deref().and_then(Path::parent);
    Ok((text, dir.map(Path::to_owned)))
}

/// Notes what the shapes show: hidden width, vocabulary, layers, positions.
///
/// # Errors
/// The text encoder's configuration says something else.
fn agree(
    ledger: &mut Ledger,
    json: &RobertaJson,
    origin: &Origin,
    [hidden, vocabulary, layers, positions]: [usize; 4],
) -> Result<(), ConfigError> {
    for (name, said, shown, key) in [
        ("text.hidden_size", json.hidden_size, hidden, WORDS),
        ("text.vocab_size", json.vocab_size, vocabulary, WORDS),
        (
            "text.num_hidden_layers",
            json.num_hidden_layers,
            layers,
            "text_encoder.encoder.layer.*",
        ),
        (
            "text.max_position_embeddings",
            json.max_position_embeddings,
            positions,
            PLACES,
        ),
    ] {
        let shape = Origin::Shape(key.to_owned());
        match said {
            Some(n) if n != shown => return Err(disagree(name, (origin, n), (&shape, shown))),
            _ => ledger.note(name, shown, shape),
        }
    }
    Ok(())
}

/// What layer normalisations add to the variance.
fn epsilon(json: &RobertaJson, path: Option<&Path>) -> Result<f32, ConfigError> {
    let said = json.layer_norm_eps.unwrap_or(1e-5);
    if said.is_finite() && said >= 0.0 {
        return Ok(said);
    }
    Err(ConfigError::Setting {
        path: path.map(Path::to_owned).unwrap_or_default(),
        key: "layer_norm_eps".to_owned(),
        expected: "a number that is not negative",
        got: said.to_string(),
    })
}

/// Positions count from `pad + 1`; the rest of the table is usable.
fn max_tokens(positions: usize, pad_token_id: i64) -> Option<usize> {
    let first = usize::try_from(pad_token_id).ok()?.checked_add(1)?;
    positions.checked_sub(first).filter(|n| *n > 0)
}

/// The `config.json` to read: the tokenizer folder's, else that of the folder which the configuration file names. A
/// name that is no folder here (`roberta-base`, a path on the trainer's machine) says nothing.
fn locate(ledger: &Ledger, tokenizer_dir: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(dir) = tokenizer_dir {
        let path = dir.join("config.json");
        if path.is_file() {
            return Ok(Some(path));
        }
    }
    let Some(yaml) = &ledger.yaml else {
        return Ok(None);
    };
    Ok(yaml
        .text("text_encoder_type")?
        .map(|name| {
            let beside = yaml.path().parent().unwrap_or(Path::new(""));
            beside.join(name).join("config.json")
        })
        .filter(|path| path.is_file()))
}

fn parse(path: &Path) -> Result<RobertaJson, ConfigError> {
    serde_json::from_str(&read_text(path)?).map_err(|e| ConfigError::Syntax {
        path: path.to_owned(),
        reason: format!("{e}; expected the text encoder's configuration"),
    })
}

fn check_kind(shapes: &Shapes<'_>, json: &RobertaJson) -> Result<(), ConfigError> {
    for (key, got, expected) in [
        ("hidden_act", &json.hidden_act, "gelu"),
        (
            "position_embedding_type",
            &json.position_embedding_type,
            "absolute",
        ),
    ] {
        if let Some(got) = got
            && got != expected
        {
            let got = got.clone();
            return Err(shapes.refused(Refusal::TextEncoder { key, got, expected }));
        }
    }
    Ok(())
}

fn heads(shapes: &Shapes<'_>, said: Option<usize>, hidden: usize) -> Result<usize, ConfigError> {
    let heads = said.unwrap_or(hidden / HEAD_CHANNELS);
    let whole = said.is_some() || hidden.is_multiple_of(HEAD_CHANNELS);
    if heads > 0 && hidden.is_multiple_of(heads) && whole {
        return Ok(heads);
    }
    Err(ConfigError::Unknown {
        file: shapes.file.clone(),
        fact: "the number of the text encoder's attention heads",
        reason: match said {
            Some(n) => {
                format!("its config.json says {n}, which does not divide the {hidden} channels")
            }
            None => format!("its {hidden} channels are no multiple of {HEAD_CHANNELS}"),
        },
        remedy: "the tokenizer folder with the `config.json` that belongs to it",
    })
}
