//! Tensors to observers, on several threads.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::thread;

use socc_calibration::observations::{ObserveError, Origin, StageObservations};
use socc_calibration::observe::{NotFinite, Observer};
use socc_engines::{EngineError, Tensor, host};
use socc_exporter::tensor::{DType, TensorSpec};

use super::{CalibrateError, Result};

/// What is watched, and how.
pub(super) struct Watched<'a> {
    pub stage: &'a str,
    pub origin: &'a Origin,
    pub threads: usize,
}

/// One tensor on its way to its observer; the number orders the tensors of a batch.
struct Job<'a> {
    number: usize,
    tensor: &'a Tensor,
    observer: &'a mut Observer,
}

enum Failure {
    Engine(EngineError),
    Values(NotFinite),
}

/// Has the float32 ones of some tensors observed.
///
/// # Errors
/// A tensor does not come to the CPU, or has values that are NaN or infinite; of several the first in the
/// order of the graph, which is where they come from.
pub(super) fn watch(
    seen: &mut StageObservations,
    specs: &[TensorSpec],
    tensors: &[Tensor],
    at: &Watched<'_>,
) -> Result<()> {
    let numbers: HashMap<&str, usize> = specs
        .iter()
        .enumerate()
        .filter(|(_, spec)| spec.dtype == DType::F32)
        .map(|(number, spec)| (spec.name.as_str(), number))
        .collect();
    let jobs = seen.observers().filter_map(|(name, observer)| {
        let number = *numbers.get(name)?;
        Some(Job {
            number,
            tensor: tensors.get(number)?,
            observer,
        })
    });
    let jobs = Mutex::new(jobs.collect::<Vec<_>>());
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some(job) = pop(&jobs) {
            let number = job.number;
            if let Err(failure) = observe(job) {
                push(&failures, (number, failure));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..at.threads {
            scope.spawn(work);
        }
        work();
    });
    let failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let first = failures.into_iter().min_by_key(|(number, _)| *number);
    match first {
        None => Ok(()),
        Some((_, Failure::Engine(error))) => Err(error.into()),
        Some((number, Failure::Values(values))) => Err(CalibrateError::from(ObserveError {
            stage: at.stage.to_owned(),
            tensor: specs[number].name.clone(),
            values,
            origin: at.origin.clone(),
        })),
    }
}

fn pop<T>(list: &Mutex<Vec<T>>) -> Option<T> {
    list.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    list.push(item);
}

fn observe(job: Job<'_>) -> std::result::Result<(), Failure> {
    let tensor = host(job.tensor).map_err(Failure::Engine)?;
    let values = tensor.as_f32().map_err(Failure::Engine)?;
    let observed = match values.as_slice_memory_order() {
        // The order of the values does not matter.
        Some(values) => job.observer.observe(values),
        None => job
            .observer
            .observe(&values.iter().copied().collect::<Vec<_>>()),
    };
    observed.map_err(Failure::Values)
}
