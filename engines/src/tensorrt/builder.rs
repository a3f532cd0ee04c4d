//! Builds plans with TensorRT's own builder.

use std::path::Path;
use std::sync::Arc;

use trtx::trtx_sys::Dims64;
use trtx::{Builder as TrtBuilder, BuilderConfig, MemoryPoolType, OnnxParser, OptProfileSelector};

use super::error::{BuildError, Failure};
use super::failure::{explain, nodes};
use super::logger::Log;
use super::monitor::Monitor;
use super::open::{Library, open};
use super::run::first_sm;
use super::sm::Sm;
use super::support::{Support, table};
use super::variant::Variant;
use super::{BuildOptions, Network, Progress};

/// In strongly typed networks every tensor has the type that the graph says; the flag is for libraries that still
/// know others.
const STRONGLY_TYPED: u32 = 1 << 0;
const MIB: usize = 1 << 20;

/// TensorRT's builder.
#[derive(Debug)]
pub struct Builder {
    library: Library,
}

impl Builder {
    /// Opens the library at `library`, or the first that the search finds.
    ///
    /// # Errors
    /// This build lacks the variant, no library is found, or it does not fit.
    pub fn open(variant: Variant, library: Option<&Path>) -> Result<Self, BuildError> {
        Ok(Self {
            library: open(variant, library)?,
        })
    }

    /// The library's version, as in `1.7.1.116`.
    pub fn version(&self) -> &str {
        &self.library.version
    }

    /// Where the library is.
    pub fn path(&self) -> &Path {
        &self.library.path
    }

    /// Compute capabilities that plans of these options are for: those that were named, or that of the GPU which is
    /// present.
    ///
    /// # Errors
    /// An SM is not among [`Variant::targets`], or there is no GPU.
    pub fn targets(&self, options: &BuildOptions) -> Result<Vec<Sm>, BuildError> {
        let variant = self.library.variant;
        options.check(variant)?;
        Ok(match options.sms.is_empty() {
            true => vec![first_sm(variant)?],
            false => options.sms.clone(),
        })
    }

    /// Parses a stage and says which of its operators the parser takes, and what it refuses.
    ///
    /// # Errors
    /// The graph cannot be read, or TensorRT cannot start.
    pub fn check(&self, network: &Network) -> Result<Support, BuildError> {
        let log = Log::new(self.library.variant)?;
        let nodes = nodes(network.model)?;
        let mut builder = self.builder(&log)?;
        let failures = match self.parse(network, &log, &mut builder)? {
            Ok(_) => Vec::new(),
            Err(()) => explain(&nodes, &log.errors()),
        };
        Ok(Support {
            operators: table(&nodes, &failures),
            failures,
        })
    }

    /// Builds a stage's plan.
    ///
    /// # Errors
    /// The graph cannot be read, parsed or built, an SM is not among [`Variant::targets`], or `progress` stopped it.
    pub fn build(
        &self,
        network: &Network,
        options: &BuildOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Vec<u8>, BuildError> {
        options.check(self.library.variant)?;
        let stage = || network.stage.to_owned();
        let log = Log::new(self.library.variant)?;
        let nodes = nodes(network.model)?;
        let failure = |log: &Log| first(explain(&nodes, &log.errors()));
        let mut builder = self.builder(&log)?;
        let Ok(mut parser) = self.parse(network, &log, &mut builder)? else {
            return Err(BuildError::Parse {
                stage: stage(),
                library: self.title(),
                failure: failure(&log),
            });
        };
        let mut config = builder.create_config().map_err(|e| self.refused(&e))?;
        self.configure(&mut config, options, Arc::clone(&progress))?;
        self.add_profile(network, &mut builder, &mut config, &log)?;
        match builder.build_serialized_network(parser.network_mut(), &mut config) {
            Ok(plan) => Ok(plan.to_vec()),
            Err(_) if progress.stopped() => Err(BuildError::Stopped { stage: stage() }),
            Err(_) => Err(BuildError::Build {
                stage: stage(),
                library: self.title(),
                failure: failure(&log),
            }),
        }
    }

    fn title(&self) -> String {
        format!("{} {}", self.library.variant.title(), self.library.version)
    }

    fn refused(&self, error: &trtx::Error) -> BuildError {
        super::library::unavailable(self.library.variant, error.to_string()).into()
    }

    fn builder<'log>(&self, log: &'log Log) -> Result<TrtBuilder<'log>, BuildError> {
        TrtBuilder::new(&log.logger).map_err(|e| {
            // Its reason goes to the log.
            let detail = log.errors().join("; ");
            let detail = if detail.is_empty() {
                e.to_string()
            } else {
                detail
            };
            super::library::unavailable(self.library.variant, detail).into()
        })
    }

    /// The parser with the network that it filled, or `Err(())` where it refuses the graph and the log says why.
    fn parse<'log>(
        &self,
        network: &Network,
        log: &'log Log,
        builder: &mut TrtBuilder<'log>,
    ) -> Result<Result<OnnxParser<'log>, ()>, BuildError> {
        let path = network.model.to_str().ok_or_else(|| BuildError::Path {
            path: network.model.to_owned(),
        })?;
        let definition = builder.create_network(STRONGLY_TYPED);
        let definition = definition.map_err(|e| self.refused(&e))?;
        let mut parser = OnnxParser::new(definition, &log.logger).map_err(|e| self.refused(&e))?;
        // The verbosity is that of ILogger::Severity: errors.
        Ok(parser
            .parse_from_file(path, 1)
            .map_err(|_| ())
            .map(|()| parser))
    }

    fn configure(
        &self,
        config: &mut BuilderConfig,
        options: &BuildOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<(), BuildError> {
        if let Some(mib) = options.workspace_mib {
            let bytes = usize::try_from(mib)
                .unwrap_or(usize::MAX)
                .saturating_mul(MIB);
            config.set_memory_pool_limit(MemoryPoolType::kWORKSPACE, bytes);
        }
        if let Some(level) = options.opt_level {
            config.set_builder_optimization_level(i32::from(level));
        }
        target(config, options).map_err(|e| self.refused(&e))?;
        config
            .set_progress_monitor(Box::new(Monitor::new(progress)))
            .map_err(|e| self.refused(&e))
    }

    fn add_profile<'log>(
        &self,
        network: &Network,
        builder: &mut TrtBuilder<'log>,
        config: &mut BuilderConfig<'log>,
        log: &Log,
    ) -> Result<(), BuildError> {
        let varying = network.inputs.iter();
        let varying = varying.filter_map(|spec| Some((spec, network.profile.shapes(spec)?)));
        let varying: Vec<_> = varying.collect();
        if varying.is_empty() {
            return Ok(());
        }
        let profile = builder.creata_optimization_profile();
        let mut profile = profile.map_err(|e| self.refused(&e))?;
        const SELECTORS: [OptProfileSelector; 3] = [
            OptProfileSelector::kMIN,
            OptProfileSelector::kOPT,
            OptProfileSelector::kMAX,
        ];
        for (spec, shapes) in varying {
            for (selector, shape) in SELECTORS.into_iter().zip(&shapes) {
                let dims: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
                let dims = Dims64::from_slice(&dims);
                profile
                    .set_dimensions(&spec.name, selector, &dims)
                    .map_err(|e| BuildError::Profile {
                        stage: network.stage.to_owned(),
                        input: spec.name.clone(),
                        lengths: format!("{shapes:?}"),
                        reason: log.errors().pop().unwrap_or_else(|| e.to_string()),
                    })?;
            }
        }
        let added = config.add_optimization_profile(&mut profile);
        added.map(|_| ()).map_err(|e| self.refused(&e))
    }
}

/// Names the GPUs that the plan is for.
#[cfg(not(feature = "tensorrt"))]
fn target(config: &mut BuilderConfig, options: &BuildOptions) -> trtx::Result<()> {
    use trtx::ComputeCapability as C;
    let known = |sm: u32| match sm {
        75 => C::kSM75,
        80 => C::kSM80,
        86 => C::kSM86,
        89 => C::kSM89,
        120 => C::kSM120,
        121 => C::kSM121,
        _ => C::kNONE,
    };
    config.set_nb_compute_capabilities(options.sms.len() as i32)?;
    for (index, sm) in options.sms.iter().enumerate() {
        config.set_compute_capability(known(sm.0), index as i32)?;
    }
    Ok(())
}

/// The plan is for the GPU that is present.
#[cfg(feature = "tensorrt")]
fn target(_config: &mut BuilderConfig, _options: &BuildOptions) -> trtx::Result<()> {
    Ok(())
}

fn first(failures: Vec<Failure>) -> Failure {
    // There is at least one.
    failures.into_iter().next().unwrap_or_else(|| Failure {
        node: None,
        message: String::new(),
    })
}
