//! What a build without TensorRT has in the builder's place.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use super::error::BuildError;
use super::sm::Sm;
use super::support::Support;
use super::variant::Variant;
use super::{BuildOptions, Network, Progress, built_for, library};

/// TensorRT's builder, of which this build has none.
#[derive(Debug)]
pub struct Builder(Infallible);

impl Builder {
    /// Refuses: this build lacks TensorRT.
    ///
    /// # Errors
    /// Always.
    pub fn open(variant: Variant, library: Option<&Path>) -> Result<Self, BuildError> {
        built_for(variant)?;
        let place = library::find(variant, library)?;
        let detail = format!("{} cannot be opened", place.library.display());
        Err(library::unavailable(variant, detail).into())
    }

    /// The library's version.
    pub fn version(&self) -> &str {
        match self.0 {}
    }

    /// Where the library is.
    pub fn path(&self) -> &Path {
        match self.0 {}
    }

    /// Compute capabilities that plans of these options are for.
    ///
    /// # Errors
    /// None: there is no such builder.
    pub fn targets(&self, _options: &BuildOptions) -> Result<Vec<Sm>, BuildError> {
        match self.0 {}
    }

    /// Parses a stage.
    ///
    /// # Errors
    /// None: there is no such builder.
    pub fn check(&self, _network: &Network) -> Result<Support, BuildError> {
        match self.0 {}
    }

    /// Builds a stage's plan.
    ///
    /// # Errors
    /// None: there is no such builder.
    pub fn build(
        &self,
        _network: &Network,
        _options: &BuildOptions,
        _progress: Arc<dyn Progress>,
    ) -> Result<Vec<u8>, BuildError> {
        match self.0 {}
    }
}
