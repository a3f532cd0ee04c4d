//! Arguments on how long clips are cut into windows.

use anyhow::bail;
use clap::Args;
use socc::segment::Windowing;
use socc::source::Source;

#[derive(Args)]
pub struct WindowArgs {
    /// Run longer clips in windows of T frames, of which only one is held: an approximation, since each window selects
    /// anew [default: the whole clip at once; a bundle's own frames]
    #[arg(long, value_name = "T")]
    pub window: Option<usize>,
    /// Frames that a window shares with the one before it, as context
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub overlap: usize,
}

impl WindowArgs {
    /// How `source` is to cut clips, if it is.
    pub fn windowing(&self, source: &Source) -> anyhow::Result<Option<Windowing>> {
        let own = source.manifest().map(|m| m.frames);
        let Some(frames) = self.window.or(own) else {
            if self.overlap > 0 {
                bail!("--overlap is for windows; give their length with --window");
            }
            return Ok(None);
        };
        if let Some(own) = own
            && own != frames
        {
            bail!("--window is {frames} and the bundle takes {own} frames at once; leave it out");
        }
        if frames == 0 || self.overlap >= frames {
            bail!(
                "--window is {frames} and --overlap {}; a window needs at least one frame of its own",
                self.overlap
            );
        }
        let overlap = self.overlap;
        Ok(Some(Windowing { frames, overlap }))
    }
}
