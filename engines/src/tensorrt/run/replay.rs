//! When a run is enqueued, when it is captured as a CUDA graph, and when a captured graph is launched instead.
//!
//! A graph repeats one enqueueing with all its addresses and shapes, so it may only stand for a run of the very same
//! ones. Runs that occur once are not worth a graph: the second of its kind is captured, the third launched. TensorRT
//! asks for an ordinary enqueueing between a change of shapes and a capture, and promises nothing of a graph captured
//! under other shapes than the context has now, so a change of shapes forgets all graphs.

use std::collections::VecDeque;

/// Graphs that a stage keeps. A stage of a video with several sentences meets one set of addresses for each.
const MAX_GRAPHS: usize = 16;

/// What tells runs apart: shapes and addresses of all inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Shape of each input.
    pub(super) shapes: Vec<Vec<usize>>,
    /// Device address of each input, then of each output.
    pub(super) addresses: Vec<u64>,
}

/// What to do with a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a, G> {
    /// Enqueue it.
    Enqueue,
    /// Enqueue it, then capture it and hand the graph to [`Replay::keep`].
    EnqueueAndCapture,
    /// Launch this graph instead.
    Launch(&'a G),
}

struct Seen<G> {
    key: Key,
    graph: Option<G>,
}

/// The graphs of a stage.
pub(super) struct Replay<G> {
    /// Oldest first.
    seen: VecDeque<Seen<G>>,
    /// Whether capturing failed once; it would again.
    has_failed: bool,
}

impl<G> Replay<G> {
    pub(super) fn new() -> Self {
        Self {
            seen: VecDeque::new(),
            has_failed: false,
        }
    }

    /// What to do with a run of these shapes and addresses.
    pub(super) fn step(&mut self, key: &Key) -> Step<'_, G> {
        if self.has_failed {
            return Step::Enqueue;
        }
        if self.seen.back().is_some_and(|s| s.key.shapes != key.shapes) {
            self.forget();
        }
        match self.seen.iter().position(|s| s.key == *key) {
            Some(at) => match &self.seen[at].graph {
                Some(graph) => Step::Launch(graph),
                None => Step::EnqueueAndCapture,
            },
            None => {
                if self.seen.len() == MAX_GRAPHS {
                    self.seen.pop_front();
                }
                let key = key.clone();
                self.seen.push_back(Seen { key, graph: None });
                Step::Enqueue
            }
        }
    }

    /// Takes the graph of a run that was to be captured; `None` where that failed.
    pub(super) fn keep(&mut self, key: &Key, graph: Option<G>) {
        if graph.is_none() {
            self.has_failed = true;
            self.forget();
        }
        if let Some(seen) = self.seen.iter_mut().find(|s| s.key == *key) {
            seen.graph = graph;
        }
    }

    /// Forgets all graphs: the context may have had other shapes.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }

    /// Whether the stage cannot be captured.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(length: usize, address: u64) -> Key {
        Key {
            shapes: vec![vec![1, length]],
            addresses: vec![address],
        }
    }

    #[test]
    fn the_second_run_of_a_kind_is_captured_and_the_third_launched() {
        let mut replay = Replay::new();
        assert_eq!(replay.step(&key(5, 1)), Step::Enqueue);
        assert_eq!(replay.step(&key(5, 2)), Step::Enqueue);
        assert_eq!(replay.step(&key(5, 1)), Step::EnqueueAndCapture);
        replay.keep(&key(5, 1), Some("first"));
        assert_eq!(replay.step(&key(5, 1)), Step::Launch(&"first"));
        assert_eq!(replay.step(&key(5, 2)), Step::EnqueueAndCapture);
        replay.keep(&key(5, 2), Some("second"));
        assert_eq!(replay.step(&key(5, 1)), Step::Launch(&"first"));
        assert_eq!(replay.step(&key(5, 2)), Step::Launch(&"second"));
    }

    #[test]
    fn other_shapes_forget_the_graphs() {
        let mut replay = Replay::new();
        let _ = replay.step(&key(5, 1));
        replay.keep(&key(5, 1), Some(()));
        assert_eq!(replay.step(&key(5, 1)), Step::Launch(&()));
        assert_eq!(replay.step(&key(7, 1)), Step::Enqueue);
        assert_eq!(replay.step(&key(5, 1)), Step::Enqueue);
        assert_eq!(replay.step(&key(5, 1)), Step::EnqueueAndCapture);
    }

    #[test]
    fn a_failed_capture_is_not_tried_again() {
        let mut replay: Replay<()> = Replay::new();
        let _ = replay.step(&key(5, 1));
        assert_eq!(replay.step(&key(5, 1)), Step::EnqueueAndCapture);
        replay.keep(&key(5, 1), None);
        assert!(replay.has_failed());
        assert_eq!(replay.step(&key(5, 1)), Step::Enqueue);
        assert_eq!(replay.step(&key(5, 1)), Step::Enqueue);
    }

    #[test]
    fn the_number_of_graphs_is_bounded() {
        let mut replay = Replay::new();
        for address in 0..1000 {
            let _ = replay.step(&key(5, address));
            replay.keep(&key(5, address), Some(address));
        }
        assert_eq!(replay.seen.len(), MAX_GRAPHS);
        assert_eq!(replay.step(&key(5, 999)), Step::Launch(&999));
        assert_eq!(replay.step(&key(5, 0)), Step::Enqueue);
    }
}
