//! Which frames the animation shows.

/// Most frames that are kept.
pub(super) const MOST: usize = 200;

/// Evenly spread ones of however many frames come: from the first on every other, every fourth and so on, so that at
/// most [`MOST`] are kept.
#[derive(Debug)]
pub(super) struct Sample<T> {
    kept: Vec<T>,
    seen: usize,
    step: usize,
}

impl<T> Sample<T> {
    pub(super) fn new() -> Self {
        Self {
            kept: Vec::new(),
            seen: 0,
            step: 1,
        }
    }

    /// Looks at the next frame.
    pub(super) fn push(&mut self, frame: impl FnOnce() -> T) {
        if self.kept.len() == MOST && self.seen.is_multiple_of(self.step) {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.step *= 2;
        }
        if self.seen.is_multiple_of(self.step) {
            self.kept.push(frame());
        }
        self.seen += 1;
    }

    pub(super) fn kept(&self) -> &[T] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_evenly_spread_however_many_come() {
        for (frames, step) in [(1, 1), (200, 1), (201, 2), (400, 2), (401, 4), (5000, 32)] {
            let mut sample = Sample::new();
            for i in 0..frames {
                sample.push(|| i);
                assert!(sample.kept.len() <= MOST);
            }
            let expected: Vec<usize> = (0..frames).step_by(step).collect();
            assert_eq!(sample.kept(), expected, "{frames}");
        }
    }
}
