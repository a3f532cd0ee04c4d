//! Which backbone a checkpoint has: all of it can be read off names and shapes.

use super::architecture::{Backbone, ResNetConfig, SwinConfig};
use super::error::{ConfigError, Refusal};
use super::facts::{Ledger, Origin, disagree};
use super::source::Shapes;

/// Where the official model keeps the backbone.
pub(crate) const BODY: &str = "backbone.0.body";

/// The window of the official models, preferred where shapes allow several.
const OFFICIAL_WINDOW: [usize; 3] = [8, 7, 7];

/// Largest side of a window that is looked for.
const MAX_WINDOW: usize = 128;

/// Tokens of the largest window whose index is read; the official one has 392.
const MAX_TOKENS: usize = 2048;

/// Reads the backbone.
pub(crate) fn read(shapes: &Shapes<'_>, ledger: &mut Ledger) -> Result<Backbone, ConfigError> {
    let patch = format!("{BODY}.patch_embed.proj.weight");
    let conv = format!("{BODY}.conv1.weight");
    let (backbone, seen_by) = if shapes.has(&patch) {
        (Backbone::VideoSwin(swin(shapes, ledger, &patch)?), patch)
    } else if shapes.has(&conv) {
        (Backbone::ResNet(resnet(shapes, ledger, &conv)?), conv)
    } else {
        let found = match shapes.tensors.keys().find(|k| k.starts_with("backbone.")) {
            Some(key) => format!("found `{key}`, neither `{patch}` nor `{conv}`"),
            None => "there is no key `backbone.*`".to_owned(),
        };
        return Err(shapes.refused(Refusal::Backbone(found)));
    };
    check_family(&backbone, ledger, &seen_by)?;
    ledger.note(
        "backbone",
        backbone.name(),
        Origin::Shape(format!("{BODY}.*")),
    );
    Ok(backbone)
}

/// The configuration's name and the keys have to be of one family. Dims may differ from the name's: the keys decide.
fn check_family(backbone: &Backbone, ledger: &Ledger, key: &str) -> Result<(), ConfigError> {
    let Some(yaml) = &ledger.yaml else {
        return Ok(());
    };
    let family = match backbone {
        Backbone::VideoSwin(_) => "video-swin",
        Backbone::ResNet(_) => "resnet",
    };
    match yaml.text("backbone")? {
        Some(name) if !name.starts_with(family) => Err(disagree(
            "backbone",
            (&yaml.origin("backbone"), name),
            (&Origin::Shape(key.to_owned()), family),
        )),
        _ => Ok(()),
    }
}

fn swin(
    shapes: &Shapes<'_>,
    ledger: &mut Ledger,
    patch_key: &str,
) -> Result<SwinConfig, ConfigError> {
    let form = "[E, 3, 1, 4, 4]";
    let [embed_dim, colours, frames, height, width] = shapes.axes::<5>(patch_key, form)?;
    if colours != 3 || frames != 1 || height != 4 || width != 4 {
        return Err(shapes.misshapen(patch_key, form));
    }
    let from_patch = Origin::Shape(patch_key.to_owned());
    ledger.note("backbone.embed_dim", embed_dim, from_patch);

    let stages = shapes.layers(&format!("{BODY}.layers"))?;
    if stages != 4 {
        return Err(shapes.refused(Refusal::Backbone(format!(
            "`{BODY}.layers` has {stages} stages instead of 4"
        ))));
    }
    let mut depths = Vec::new();
    let mut num_heads = Vec::new();
    for stage in 0..stages {
        depths.push(shapes.layers(&format!("{BODY}.layers.{stage}.blocks"))?);
        let table = format!("{BODY}.layers.{stage}.blocks.0.attn.relative_position_bias_table");
        let [_, heads] = shapes.axes::<2>(&table, "[entries, heads]")?;
        if embed_dim.saturating_mul(1 << stage) % heads != 0 {
            return Err(shapes.misshapen(
                &table,
                &format!(
                    "[entries, heads] with heads dividing the {embed_dim} x 2^{stage} channels"
                ),
            ));
        }
        num_heads.push(heads);
    }
    let listed = |v: &[usize]| format!("{v:?}");
    let every = |what: &str| Origin::Shape(format!("{BODY}.layers.*.{what}"));
    ledger.note("backbone.depths", listed(&depths), every("blocks.*"));
    let table = "blocks.0.attn.relative_position_bias_table";
    ledger.note("backbone.num_heads", listed(&num_heads), every(table));
    Ok(SwinConfig {
        embed_dim,
        depths,
        num_heads,
        window: window(shapes, ledger)?,
        patch: [height, width],
    })
}

/// The window: from the index table's values where they can be read, else from its and the bias table's lengths.
fn window(shapes: &Shapes<'_>, ledger: &mut Ledger) -> Result<[usize; 3], ConfigError> {
    let attention = format!("{BODY}.layers.0.blocks.0.attn");
    let table_key = format!("{attention}.relative_position_bias_table");
    let index_key = format!("{attention}.relative_position_index");
    let [entries, _] = shapes.axes::<2>(&table_key, "[entries, heads]")?;
    let tokens = match shapes.find(&index_key) {
        None => None,
        Some([rows, columns]) if rows == columns && *rows > 0 => Some(*rows),
        Some(_) => return Err(shapes.misshapen(&index_key, "[N, N] with N tokens per window")),
    };
    let mut candidates = windows(entries, tokens);
    let mut origin = Origin::Shape(table_key.clone());
    if candidates.is_empty() {
        let fit = "[(2t-1)(2h-1)(2w-1), heads] for a window of t x h x w tokens";
        return Err(shapes.misshapen(&table_key, fit));
    }
    if candidates.len() > 1
        && let Some(n) = tokens
        && n <= MAX_TOKENS
        && let Some(index) = shapes.source.integers(&index_key)
        && index.len() == n.saturating_mul(n)
    {
        candidates.retain(|w| index_matches(*w, &index));
        origin = Origin::Values(index_key.clone());
    }
    let best = |w: &&[usize; 3]| {
        (
            **w != OFFICIAL_WINDOW,
            w[1] != w[2],
            w[0].abs_diff(8),
            w[1].abs_diff(w[2]),
        )
    };
    let Some(window) = candidates.iter().min_by_key(best).copied() else {
        return Err(shapes.misshapen(&index_key, "the index of a t x h x w window"));
    };
    ledger.note("backbone.window_size", format!("{window:?}"), origin);
    Ok(window)
}

/// Every window (time, height, width) whose bias table has `entries` rows and which holds `tokens`, if that is known.
fn windows(entries: usize, tokens: Option<usize>) -> Vec<[usize; 3]> {
    let odd_divisors = |n: usize| {
        (1..2 * MAX_WINDOW)
            .step_by(2)
            .filter(move |d| n.is_multiple_of(*d))
    };
    let mut found = Vec::new();
    for t in odd_divisors(entries) {
        for h in odd_divisors(entries / t) {
            let w = entries / t / h;
            if w.is_multiple_of(2) || w >= 2 * MAX_WINDOW {
                continue;
            }
            let sides = [t, h, w].map(|odd| odd.div_ceil(2));
            if tokens.is_none_or(|n| sides.iter().product::<usize>() == n) {
                found.push(sides);
            }
        }
    }
    found
}

/// Whether the first row of a relative-position index is that of `window`: token 0 sees token (t, h, w) at the centre's
/// row less `t (2H-1)(2W-1) + h (2W-1) + w`.
fn index_matches(window: [usize; 3], index: &[i64]) -> bool {
    let [frames, height, width] = window;
    let (row, plane) = (2 * width - 1, (2 * height - 1) * (2 * width - 1));
    let centre = (frames - 1) * plane + (height - 1) * row + (width - 1);
    let tokens = frames * height * width;
    (0..tokens).all(|token| {
        let (t, h, w) = (
            token / (height * width),
            token / width % height,
            token % width,
        );
        let expected = centre - (t * plane + h * row + w);
        index.get(token).copied() == i64::try_from(expected).ok()
    })
}

fn resnet(
    shapes: &Shapes<'_>,
    ledger: &mut Ledger,
    conv: &str,
) -> Result<ResNetConfig, ConfigError> {
    let [_, colours, _, _] = shapes.axes::<4>(conv, "[64, 3, 7, 7]")?;
    if colours != 3 {
        return Err(shapes.misshapen(conv, "[64, 3, 7, 7]"));
    }
    let mut blocks = Vec::new();
    for stage in 1..=4 {
        let layer = format!("{BODY}.layer{stage}");
        blocks.push(shapes.layers(&layer)?);
        if !shapes.has(&format!("{layer}.0.conv3.weight")) {
            return Err(shapes.refused(Refusal::Backbone(format!(
                "`{layer}.0` has no `conv3`: a ResNet of basic blocks"
            ))));
        }
    }
    let origin = Origin::Shape(format!("{BODY}.layer*.*"));
    ledger.note("backbone.blocks", format!("{blocks:?}"), origin);
    Ok(ResNetConfig { blocks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_official_table_has_the_official_window() {
        // Lengths alone leave the order of the axes open; the caller prefers the official one.
        assert_eq!(windows(2535, Some(392)), [[7, 7, 8], [7, 8, 7], [8, 7, 7]]);
        assert!(windows(2535, None).contains(&OFFICIAL_WINDOW));
        assert!(windows(2536, None).is_empty());
    }

    #[test]
    fn index_tells_height_from_width() {
        // PyTorch: the official constructor's relative_position_index for window (1, 2, 3), first row.
        let index = [7, 6, 5, 2, 1, 0];
        assert!(index_matches([1, 2, 3], &index));
        assert!(!index_matches([1, 3, 2], &index));
        assert!(!index_matches([3, 2, 1], &index));
    }
}
