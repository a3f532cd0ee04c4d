//! Pipelines for clips of any shape, out of a checkpoint or a bundle.

use std::sync::Arc;

use socc_engines::Engine;
use socc_exporter::model::{Deformable, Rate, Request, STAGES};

use super::{Pipelines, Protocol, Result};
use crate::dataset::WINDOW;
use crate::pipeline::Pipeline;
use crate::segment::Windowing;
use crate::source::{Source, SourceError};

impl Protocol {
    /// Refuses a bundle that cannot follow the protocol.
    ///
    /// # Errors
    /// It was exported for other clips.
    pub fn check(self, source: &Source) -> std::result::Result<(), SourceError> {
        match self {
            Self::AnnotatedFrame => source.check_annotated_frame(WINDOW),
            Self::WholeVideo | Self::Chunks => source.check_whole_clips(),
        }
    }
}

/// Compiles a pipeline for each shape of clip, and keeps the last few.
///
/// A checkpoint is compiled for every clip's own length and size, without its text encoder, which has a
/// pipeline of its own. A bundle has one for all.
pub struct Compiler<'a> {
    source: &'a Source,
    engine: Arc<dyn Engine>,
    deformable: Deformable,
    protocol: Protocol,
    most: usize,
    window: Option<Windowing>,
    /// Frames, height, width, and the pipeline for them; the last one used is the last.
    kept: Vec<([usize; 3], Pipeline)>,
    text: Option<Pipeline>,
}

impl<'a> Compiler<'a> {
    /// Keeps at most `most` pipelines, each with the weights of all stages but the text encoder's.
    ///
    /// # Errors
    /// A bundle cannot follow the protocol.
    pub fn new(
        source: &'a Source,
        engine: Arc<dyn Engine>,
        deformable: Deformable,
        protocol: Protocol,
        most: usize,
    ) -> Result<Self> {
        protocol.check(source)?;
        Ok(Self {
            source,
            engine,
            deformable,
            protocol,
            most: most.max(1),
            window: None,
            kept: Vec::new(),
            text: None,
        })
    }

    /// Runs longer clips in windows: an approximation, since a query knows of its own window only.
    pub fn in_windows(mut self, window: Option<Windowing>) -> Self {
        self.window = window;
        self
    }

    /// Takes the pipeline of the text encoder.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn text_pipeline(&self) -> Result<Pipeline> {
        // The text encoder does not depend on the clip.
        let request = self.source.request(1, 64, 64);
        let stages = stages(|rate| rate == Rate::Expression, request);
        let engine = Arc::clone(&self.engine);
        Ok(self.source.compile_stages(engine, &stages, &mut |_| ())?)
    }

    fn compile(&self, [frames, height, width]: [usize; 3]) -> Result<Pipeline> {
        let mut request = self.source.request(frames, height, width);
        if self.source.manifest().is_none() {
            request.deformable = self.deformable;
            request.annotated_frame = self.protocol == Protocol::AnnotatedFrame;
        }
        let stages = stages(|rate| rate != Rate::Expression, request);
        let engine = Arc::clone(&self.engine);
        Ok(self.source.compile_stages(engine, &stages, &mut |_| ())?)
    }
}

/// Stages of some rates, for `request`.
fn stages(wanted: impl Fn(Rate) -> bool, request: Request) -> Vec<(&'static str, Request)> {
    let stages = STAGES.into_iter().filter(|(_, rate)| wanted(*rate));
    stages.map(|(name, _)| (name, request)).collect()
}

impl Pipelines for Compiler<'_> {
    fn get(&mut self, frames: usize, height: usize, width: usize) -> Result<&mut Pipeline> {
        let most = self.window.map_or(usize::MAX, |w| w.frames);
        let shape = match self.source.manifest() {
            Some(manifest) => [manifest.frames, manifest.height, manifest.width],
            None => [frames.min(most), height, width],
        };
        let found = self.kept.iter().position(|(s, _)| *s == shape);
        let entry = match found {
            Some(place) => self.kept.remove(place),
            None => {
                // Before the new one is there: two at once would need the memory of both.
                if self.kept.len() >= self.most {
                    self.kept.remove(0);
                }
                (shape, self.compile(shape)?)
            }
        };
        self.kept.push(entry);
        let last = self.kept.len() - 1;
        Ok(&mut self.kept[last].1)
    }

    fn overlap(&self) -> usize {
        self.window.map_or(0, |w| w.overlap)
    }

    fn text(&mut self) -> Result<&mut Pipeline> {
        let pipeline = match self.text.take() {
            Some(pipeline) => pipeline,
            None => self.text_pipeline()?,
        };
        Ok(self.text.insert(pipeline))
    }
}
