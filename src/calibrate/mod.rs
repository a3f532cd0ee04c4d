//! A bundle's pipeline over clips and sentences, with every float32 value observed.
//!
//! The stages run at their three rates as in [`crate::pipeline`], but each in segments whose values fit
//! into memory: a whole stage's would not.

mod error;
mod selection;
mod stage;
#[cfg(test)]
mod tests;
mod watch;

use ndarray::{Array2, Array4, ArrayView4, Axis};
use socc_calibration::observations::{Observations, Origin};
use socc_engines::{Engine, HostTensor};
use socc_exporter::graph::Graph;
use socc_exporter::model::{Rate, Request};
use socc_exporter::onnx;

use crate::bundle::Bundle;
use crate::pipeline::{Values, only_frame, window_frames, windows};

pub use error::{CalibrateError, Result};
pub use selection::spread;
use stage::ObservedStage;
pub use stage::Options;

/// A sentence and its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The sentence.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<i64>,
}

/// Reads the graphs of a bundle's stages.
///
/// # Errors
/// A graph cannot be read, or bears another precision than fp32.
pub fn graphs(bundle: &Bundle) -> Result<Vec<(Graph, Rate)>> {
    let precision = &bundle.manifest.precision;
    if precision != "fp32" {
        let precision = precision.clone();
        return Err(CalibrateError::Precision { precision });
    }
    let stages = bundle.manifest.stages.iter();
    let stages = stages.map(|entry| {
        let graph = onnx::load(&bundle.model_path(entry))?;
        Ok((graph, entry.rate))
    });
    stages.collect()
}

/// Compiled stages whose every value can be seen.
pub struct Calibrator {
    engine: Box<dyn Engine>,
    stages: Vec<ObservedStage>,
    frames: usize,
    /// The only frame of which anything leaves the clip's stages.
    kept_frame: Option<usize>,
}

impl Calibrator {
    /// Compiles the stages, which were built for `request`; `compiled` hears each one's name when it is
    /// ready.
    ///
    /// # Errors
    /// A weight cannot be read, or the engine refuses a graph.
    pub fn compile(
        stages: &[(Graph, Rate)],
        request: &Request,
        engine: Box<dyn Engine>,
        options: Options,
        compiled: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let mut done = Vec::with_capacity(stages.len());
        for (graph, rate) in stages {
            done.push(ObservedStage::compile(graph, *rate, &*engine, options)?);
            compiled(graph.name());
        }
        Ok(Self {
            engine,
            stages: done,
            frames: request.frames,
            kept_frame: request.kept_frame(),
        })
    }

    /// Segments of each stage, by its name.
    pub fn segments(&self) -> impl Iterator<Item = (&str, usize)> {
        self.stages.iter().map(|s| (s.name.as_str(), s.segments()))
    }

    /// Runs frames `[N, 3, H, W]` of a clip with its sentences, window by window, and has everything
    /// observed. `done` hears after every sentence in every window.
    ///
    /// # Errors
    /// The engine fails, or an activation is NaN or infinite.
    pub fn run_clip(
        &mut self,
        name: &str,
        frames: ArrayView4<u8>,
        sentences: &[Sentence],
        seen: &mut Observations,
        done: &mut dyn FnMut(),
    ) -> Result<()> {
        let origin = |sentence: Option<&Sentence>| Origin {
            clip: name.to_owned(),
            expression: sentence.map(|s| s.text.clone()),
        };
        let mut texts = Vec::with_capacity(sentences.len());
        for sentence in sentences {
            texts.push(self.encode_text(&sentence.tokens, seen, &origin(Some(sentence)))?);
        }
        for window in windows(frames.len_of(Axis(0)), self.frames) {
            let frames = window_frames(frames, window, self.frames);
            let clip = self.encode_clip(frames, seen, &origin(None))?;
            for (sentence, text) in sentences.iter().zip(&texts) {
                self.segment(&clip, text, seen, &origin(Some(sentence)))?;
                done();
            }
        }
        Ok(())
    }

    fn encode_text(
        &mut self,
        tokens: &[i64],
        seen: &mut Observations,
        origin: &Origin,
    ) -> Result<Values> {
        let ids = Array2::from_shape_vec((1, tokens.len()), tokens.to_vec());
        let ids = ids.unwrap_or_default().into_dyn();
        let ids = self.engine.upload(HostTensor::I64(ids))?;
        let mut values = Values::from([("input_ids".to_owned(), ids)]);
        self.run(Rate::Expression, &mut values, seen, origin)?;
        Ok(values)
    }

    fn encode_clip(
        &mut self,
        frames: Array4<u8>,
        seen: &mut Observations,
        origin: &Origin,
    ) -> Result<Values> {
        let frames = self.engine.upload(HostTensor::U8(frames.into_dyn()))?;
        let mut values = Values::from([("frames".to_owned(), frames)]);
        self.run(Rate::Clip, &mut values, seen, origin)?;
        Ok(match self.kept_frame {
            Some(index) => only_frame(&*self.engine, &values, index)?,
            None => values,
        })
    }

    fn segment(
        &mut self,
        clip: &Values,
        text: &Values,
        seen: &mut Observations,
        origin: &Origin,
    ) -> Result<Values> {
        let mut values = clip.clone();
        values.extend(text.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.run(Rate::ClipExpression, &mut values, seen, origin)?;
        Ok(values)
    }

    fn run(
        &mut self,
        rate: Rate,
        values: &mut Values,
        seen: &mut Observations,
        origin: &Origin,
    ) -> Result<()> {
        for stage in self.stages.iter_mut().filter(|s| s.rate == rate) {
            if let Some(seen) = seen.stage(&stage.name) {
                stage.run(&*self.engine, values, seen, origin)?;
            }
        }
        Ok(())
    }
}
