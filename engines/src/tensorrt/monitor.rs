//! The builder's own account of how far it is.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use trtx::interfaces::MonitorProgress;

use super::Progress;

/// A phase under way.
struct Phase {
    name: String,
    steps: i32,
    done: i32,
}

/// Turns TensorRT's nested phases into one fraction.
pub(super) struct Monitor {
    phases: Mutex<Vec<Phase>>,
    /// The furthest so far: a bar that runs backwards helps nobody.
    done: Mutex<f64>,
    progress: Arc<dyn Progress>,
}

impl Monitor {
    pub(super) fn new(progress: Arc<dyn Progress>) -> Self {
        Self {
            phases: Mutex::default(),
            done: Mutex::default(),
            progress,
        }
    }

    /// Changes the phases and tells what follows. Called from C++, which a panic must not reach.
    fn update(&self, change: impl FnOnce(&mut Vec<Phase>)) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut phases);
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done = done.max(fraction(&phases));
        if let Some(phase) = phases.last() {
            self.progress.at(&phase.name, *done);
        }
    }
}

/// What is done of the outermost phase, a step under way counting by the phases within it.
fn fraction(phases: &[Phase]) -> f64 {
    let inner = |within: f64, phase: &Phase| {
        let steps = f64::from(phase.steps.max(1));
        ((f64::from(phase.done) + within) / steps).clamp(0.0, 1.0)
    };
    phases.iter().rev().fold(0.0, inner)
}

impl MonitorProgress for Monitor {
    // The bindings give the phase's own name where TensorRT gives the parent's, so the order tells the nesting.
    fn phase_start(&self, name: &str, _parent: Option<&str>, steps: i32) {
        self.update(|phases| {
            phases.push(Phase {
                name: name.to_owned(),
                steps,
                done: 0,
            });
        });
    }

    fn step_complete(&self, name: &str, step: i32) -> ControlFlow<()> {
        self.update(|phases| {
            if let Some(phase) = phases.iter_mut().rev().find(|p| p.name == name) {
                phase.done = step.saturating_add(1);
            }
        });
        match self.progress.stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn phase_finish(&self, name: &str) {
        self.update(|phases| {
            if let Some(at) = phases.iter().rposition(|p| p.name == name) {
                phases.remove(at);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_phases_fill_one_step_of_the_outer() {
        let phase = |steps, done| Phase {
            name: String::new(),
            steps,
            done,
        };
        assert_eq!(fraction(&[]), 0.0);
        assert_eq!(fraction(&[phase(4, 1)]), 0.25);
        assert_eq!(fraction(&[phase(4, 1), phase(2, 1)]), 0.375);
        assert_eq!(fraction(&[phase(0, 0)]), 0.0);
        assert_eq!(fraction(&[phase(2, 5)]), 1.0);
    }
}
