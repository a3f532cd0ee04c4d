//! What TensorRT says: the reasons of its failures are nowhere else.

use std::sync::{Arc, Mutex, PoisonError};

use trtx::{LogHandler, Logger, Severity};

use crate::error::EngineError;

use super::library::unavailable;
use super::variant::Variant;

/// Errors that are kept; the first are the causes of the rest.
const MAX_ERRORS: usize = 64;

/// A logger that keeps errors.
pub(super) struct Log {
    pub(super) logger: Logger,
    errors: Arc<Mutex<Vec<String>>>,
}

struct Keeper(Arc<Mutex<Vec<String>>>);

impl LogHandler for Keeper {
    fn log(&self, severity: Severity, message: &str) {
        if severity <= Severity::Error {
            // Called from C++, which a panic must not reach.
            let mut errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if errors.len() < MAX_ERRORS {
                errors.push(message.to_owned());
            }
        }
    }
}

impl Log {
    pub(super) fn new(variant: Variant) -> Result<Self, EngineError> {
        let errors = Arc::default();
        let logger = Logger::new(Keeper(Arc::clone(&errors)))
            .map_err(|e| unavailable(variant, e.to_string()))?;
        Ok(Self { logger, errors })
    }

    /// The errors so far.
    pub(super) fn errors(&self) -> Vec<String> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.clone()
    }

    /// The errors so far, which are forgotten here.
    pub(super) fn take(&self) -> Vec<String> {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut errors)
    }
}
