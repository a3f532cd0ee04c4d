//! A bounded summary of the values that a tensor takes, however many there are.

use serde::{Deserialize, Serialize};

/// Bins of a histogram.
pub const BINS: usize = 2048;
/// log2 of [`BINS`].
const BINS_LOG2: i32 = 11;
/// Smallest range that a histogram has, as a power of two: scales of narrower ones leave float32.
const MIN_EXPONENT: i32 = -100;
/// Shorter tensors are counted straight into the histogram.
const SHORT: usize = 8192;
/// Values that are counted before 32-bit counters are emptied.
const CHUNK: usize = 1 << 30;

/// Values that are no numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{nan} NaN and {infinite} infinite values")]
pub struct NotFinite {
    /// NaNs.
    pub nan: usize,
    /// Infinities of both signs.
    pub infinite: usize,
}

/// What one tensor's values were so far.
///
/// The result depends on the values alone, not on their order or on how they were divided into calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observer {
    min: f32,
    max: f32,
    /// Infinite as long as every value was 0.
    smallest: f32,
    samples: u64,
    histogram: Histogram,
}

impl Default for Observer {
    fn default() -> Self {
        Self {
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            smallest: f32::INFINITY,
            samples: 0,
            histogram: Histogram::default(),
        }
    }
}

impl Observer {
    /// Takes values in.
    ///
    /// # Errors
    /// Some are NaN or infinite; none is taken in then.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), NotFinite> {
        let Some(extremes) = Extremes::of(values) else {
            return Ok(());
        };
        if !extremes.peak.is_finite() {
            return Err(NotFinite {
                nan: values.iter().filter(|x| x.is_nan()).count(),
                infinite: values.iter().filter(|x| x.is_infinite()).count(),
            });
        }
        self.min = self.min.min(extremes.min);
        self.max = self.max.max(extremes.max);
        self.smallest = self.smallest.min(extremes.smallest);
        self.samples += values.len() as u64;
        self.histogram.cover(extremes.peak);
        self.histogram.count(values);
        Ok(())
    }

    /// Smallest value; 0 where none was seen.
    pub fn min(&self) -> f32 {
        if self.samples == 0 { 0.0 } else { self.min }
    }

    /// Largest value; 0 where none was seen.
    pub fn max(&self) -> f32 {
        if self.samples == 0 { 0.0 } else { self.max }
    }

    /// Largest magnitude.
    pub fn peak(&self) -> f32 {
        self.min().abs().max(self.max().abs())
    }

    /// Smallest magnitude that is not zero; 0 where every value was.
    pub fn smallest(&self) -> f32 {
        if self.smallest.is_finite() {
            self.smallest
        } else {
            0.0
        }
    }

    /// Values seen.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Distribution of the magnitudes.
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }
}

/// Counts of magnitudes in [`BINS`] bins of equal width over `0..2^exponent`, the narrowest such range
/// that holds them all.
///
/// Powers of two, because then a wider range merges whole bins: no count is ever split or moved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    exponent: i32,
    /// Empty before the first value.
    bins: Vec<u64>,
}

impl Histogram {
    /// Counts, from magnitude 0 upwards, without the empty bins beyond the largest magnitude.
    pub fn bins(&self) -> &[u64] {
        let used = self.bins.iter().rposition(|n| *n > 0);
        &self.bins[..used.map_or(0, |last| last + 1)]
    }

    /// Width of a bin.
    pub fn width(&self) -> f64 {
        f64::from(self.exponent - BINS_LOG2).exp2()
    }

    /// Whether it could have been made by counting.
    pub(crate) fn is_sound(&self) -> bool {
        let sized = self.bins.len() == BINS && (MIN_EXPONENT..=128).contains(&self.exponent);
        self.bins.is_empty() || sized
    }

    /// Widens the range until it holds `peak`.
    fn cover(&mut self, peak: f32) {
        let exponent = exponent_above(peak).max(MIN_EXPONENT);
        if self.bins.is_empty() {
            self.bins = vec![0; BINS];
            self.exponent = exponent;
            return;
        }
        let shift = (exponent - self.exponent).clamp(0, BINS_LOG2) as u32;
        if shift > 0 {
            // Bins merge whole; zeros stay where they are.
            for i in 1..BINS {
                let count = std::mem::take(&mut self.bins[i]);
                self.bins[i >> shift] += count;
            }
        }
        self.exponent = self.exponent.max(exponent);
    }

    /// Counts magnitudes that the range holds.
    fn count(&mut self, values: &[f32]) {
        let scale = f32::from_bits(((127 + BINS_LOG2 - self.exponent) as u32) << 23);
        let bin = |x: f32| ((x.abs() * scale) as usize).min(BINS - 1);
        if values.len() < SHORT {
            for x in values {
                self.bins[bin(*x)] += 1;
            }
            return;
        }
        // Four sets of counters: neighbours often fall into one bin, and each would wait for the other.
        let mut counters = [[0_u32; BINS]; 4];
        for chunk in values.chunks(CHUNK) {
            let (fours, rest) = chunk.as_chunks::<4>();
            for four in fours {
                for (x, counter) in four.iter().zip(&mut counters) {
                    counter[bin(*x)] += 1;
                }
            }
            for x in rest {
                counters[0][bin(*x)] += 1;
            }
            for counter in &mut counters {
                for (total, count) in self.bins.iter_mut().zip(counter) {
                    *total += u64::from(std::mem::take(count));
                }
            }
        }
    }
}

/// The smallest `e` with `magnitude < 2^e`.
fn exponent_above(magnitude: f32) -> i32 {
    (magnitude.to_bits() >> 23) as i32 - 126
}

/// Extremes of some values; [`Extremes::peak`] is not finite where a value is not.
struct Extremes {
    min: f32,
    max: f32,
    peak: f32,
    /// Infinite where every value is 0.
    smallest: f32,
}

impl Extremes {
    /// `None` of no values.
    fn of(values: &[f32]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        // On bit patterns: integer minima are vectorised, those of floats are not.
        let (mut min, mut max) = (i32::MAX, i32::MIN);
        let (mut peak, mut smallest) = (0_u32, u32::MAX);
        for x in values {
            let bits = x.to_bits();
            let magnitude = bits & MAGNITUDE;
            let key = ordered(bits as i32);
            min = min.min(key);
            max = max.max(key);
            peak = peak.max(magnitude);
            // Zero becomes the largest.
            smallest = smallest.min(magnitude.wrapping_sub(1));
        }
        let value = |key: i32| f32::from_bits(ordered(key) as u32) + 0.0;
        let smallest = match smallest {
            u32::MAX => f32::INFINITY,
            below => f32::from_bits(below + 1),
        };
        Some(Self {
            min: value(min),
            max: value(max),
            peak: f32::from_bits(peak),
            smallest,
        })
    }
}

/// All bits of a float32 but the sign.
const MAGNITUDE: u32 = 0x7fff_ffff;

/// Bits of a float32 as an integer that is ordered as the floats are, and back.
fn ordered(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & MAGNITUDE as i32)
}

#[cfg(test)]
mod tests;
