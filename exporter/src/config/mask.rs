//! The mask head: the number of parameters made per query must follow from its layers and channels.

use super::architecture::MaskConfig;
use super::error::{ConfigError, Refusal};
use super::facts::{Ledger, Origin, disagree};
use super::source::Shapes;

const COUNT_KEY: &str = "controller.layers.2.weight";

/// Reads the mask head's dims.
pub(crate) fn read(shapes: &Shapes<'_>, ledger: &mut Ledger) -> Result<MaskConfig, ConfigError> {
    let out = "spatial_decoder.out_lay.weight";
    let [kernels_dim, ..] = shapes.axes::<4>(out, "[kernels, d_model / 16, 3, 3]")?;
    let kernels_dim = ledger.shown("mask_kernels_dim", kernels_dim, out, &["mask_kernels_dim"])?;
    let [made, _] = shapes.axes::<2>(COUNT_KEY, "[made parameters, d_model]")?;

    let controller_layers = ledger.setting("controller_layers", 3)?;
    let said_channels = ledger.number("dynamic_mask_channels")?.filter(|n| *n > 0);
    if controller_layers < 2 && said_channels != Some(1) {
        return Err(shapes.refused(Refusal::ControllerLayers(controller_layers)));
    }
    let said_coords = ledger.flag("rel_coord")?;
    let config = |dynamic_channels: usize, rel_coord: bool| MaskConfig {
        kernels_dim,
        controller_layers,
        dynamic_channels,
        rel_coord,
    };
    // The paper's 8 channels first; others only where these do not give the count and no file says 8.
    let widths = match said_channels {
        Some(n) => vec![n..=n],
        None => vec![8..=8, 1..=512],
    };
    let coords = said_coords.map_or(vec![true, false], |b| vec![b]);
    let fitting = |range: &std::ops::RangeInclusive<usize>| -> Vec<MaskConfig> {
        range
            .clone()
            .flat_map(|n| coords.iter().map(move |c| (n, *c)))
            .map(|(n, c)| config(n, c))
            .filter(|m| m.parameters() == Some(made))
            .collect()
    };
    let found = widths.iter().map(fitting).find(|fits| !fits.is_empty());
    let Some([mask]) = found.as_deref() else {
        return Err(unfitting(
            shapes,
            ledger,
            made,
            &config(said_channels.unwrap_or(8), said_coords.unwrap_or(true)),
        ));
    };
    let from = |said: bool, key: &str| match said {
        true => ledger.said_by(key),
        false => Origin::Shape(COUNT_KEY.to_owned()),
    };
    let channels = from(said_channels.is_some(), "dynamic_mask_channels");
    let coordinates = from(said_coords.is_some(), "rel_coord");
    ledger.note("dynamic_mask_channels", mask.dynamic_channels, channels);
    ledger.note("rel_coord", mask.rel_coord, coordinates);
    Ok(mask.clone())
}

/// The error for a count that no (or no single) choice gives.
fn unfitting(shapes: &Shapes<'_>, ledger: &Ledger, made: usize, tried: &MaskConfig) -> ConfigError {
    let Some(yaml) = &ledger.yaml else {
        return ConfigError::Unknown {
            file: shapes.file.clone(),
            fact: "the mask head's layout",
            reason: format!(
                "`{COUNT_KEY}` makes {made} parameters, which no single choice of channels explains"
            ),
            remedy: "the configuration file it was trained with",
        };
    };
    let parameters = tried.parameters();
    let layout = format!(
        "{} parameters ({} layers, {} channels, rel_coord {}, mask_kernels_dim {})",
        parameters.map_or("uncountable".to_owned(), |n| n.to_string()),
        tried.controller_layers,
        tried.dynamic_channels,
        tried.rel_coord,
        tried.kernels_dim,
    );
    disagree(
        "parameters of the mask head",
        (
            &yaml.origin("controller_layers, dynamic_mask_channels, rel_coord"),
            layout,
        ),
        (&Origin::Shape(COUNT_KEY.to_owned()), made.to_string()),
    )
}
