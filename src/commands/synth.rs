//! `socc synth`.

use std::process::ExitCode;

use socc::scratch::Watch;
use socc_exporter::synth::{self, Preset};

use super::{megabytes, print};
use crate::args::SynthArgs;
use crate::progress;

pub fn synth(args: &SynthArgs) -> anyhow::Result<ExitCode> {
    let preset: Preset = args.backbone.parse()?;
    let _watch = Watch::new(&synth::partial_path(&args.output)?);
    let bar = progress::bytes(0, preset.name());
    let mut bytes = 0;
    synth::write(preset, &args.output, &mut |done, total| {
        bytes = total;
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let size = megabytes(bytes);
    print(&format!(
        "{}: {}, {size}\n",
        args.output.display(),
        preset.name()
    ))?;
    Ok(ExitCode::SUCCESS)
}
