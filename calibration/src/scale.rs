//! Ranges out of histograms.

use crate::method::Method;
use crate::observe::{Histogram, Observer};

/// Magnitudes that symmetric int8 tells apart on one side: 0 to 127.
const LEVELS: usize = 128;
/// Largest value of symmetric int8.
const INT8_MAX: f64 = 127.0;

/// Magnitude that the largest int8 value is to stand for. It is never above the largest magnitude
/// seen, and 0 only where every value was.
pub fn amax(observer: &Observer, method: Method) -> f32 {
    let histogram = observer.histogram();
    let clip = match method {
        Method::Max => return observer.peak(),
        Method::Percentile(p) => percentile(histogram, observer.samples(), p),
        Method::Entropy => entropy(histogram),
        Method::Mse => mse(histogram),
    };
    clip.map_or(observer.peak(), |clip| (clip as f32).min(observer.peak()))
}

/// Magnitude that `percent` percent of all values do not exceed, values lying evenly in their bin.
fn percentile(histogram: &Histogram, samples: u64, percent: f64) -> Option<f64> {
    let wanted = samples as f64 * (percent / 100.0).clamp(0.0, 1.0);
    let mut below = 0.0;
    for (i, count) in histogram.bins().iter().enumerate() {
        let count = *count as f64;
        if below + count >= wanted && count > 0.0 {
            let inside = (wanted - below) / count;
            return Some((i as f64 + inside) * histogram.width());
        }
        below += count;
    }
    None
}

/// The clip at which the values, clipped and quantised to [`LEVELS`] magnitudes, lose the least
/// information: of P, the counts below the clip with all others in the last bin, and Q, the counts
/// below the clip averaged over the non-empty bins of each level, the one with the least
/// Kullback-Leibler divergence of Q from P. Of several, the highest.
///
/// As TensorRT's calibrator does, exact zeros are not taken at their word: the lowest bin counts as
/// its neighbour does, else the zeros of a ReLU outweigh everything.
fn entropy(histogram: &Histogram) -> Option<f64> {
    let mut counts: Vec<f64> = histogram.bins().iter().map(|n| *n as f64).collect();
    *counts.first_mut()? = *counts.get(1)?;
    let sums = Sums::new(&counts);
    let divergence = |clip: usize| divergence(&counts, &sums, clip);
    let clips = (LEVELS..=counts.len()).map(|clip| (clip, divergence(clip)));
    let best = clips.reduce(|best, next| if next.1 <= best.1 { next } else { best })?;
    Some(best.0 as f64 * histogram.width())
}

/// Running sums over bins, the sum before each.
struct Sums {
    counts: Vec<f64>,
    filled: Vec<f64>,
    /// Of `n ln n`.
    information: Vec<f64>,
}

impl Sums {
    fn new(counts: &[f64]) -> Self {
        Self {
            counts: running(counts.iter().copied()),
            filled: running(counts.iter().map(|n| f64::from(u8::from(*n > 0.0)))),
            information: running(counts.iter().map(|n| xlogx(*n))),
        }
    }
}

fn running(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let sums = values.scan(0.0, |sum, x| {
        *sum += x;
        Some(*sum)
    });
    std::iter::once(0.0).chain(sums).collect()
}

fn xlogx(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

/// Kullback-Leibler divergence of [`entropy`] for a clip after `clip` bins.
///
/// With counts n, sum P ln P - sum P ln Q needs no loop over bins: Q is constant within a level, so
/// that running sums of n and n ln n do.
fn divergence(counts: &[f64], sums: &Sums, clip: usize) -> f64 {
    let (inside, all) = (sums.counts[clip], sums.counts[counts.len()]);
    let (last, clipped) = (counts[clip - 1], all - inside);
    if last == 0.0 && clipped > 0.0 {
        // P has mass where Q has none.
        return f64::INFINITY;
    }
    let reference = sums.information[clip] - xlogx(last) + xlogx(last + clipped) - xlogx(all);
    let mut quantised = -all * inside.ln();
    for level in 0..LEVELS {
        // The bins whose position, scaled to levels, is within this one.
        let (from, to) = (level * clip, (level + 1) * clip);
        let (from, to) = (from.div_ceil(LEVELS), to.div_ceil(LEVELS));
        let mass = sums.counts[to] - sums.counts[from];
        if mass > 0.0 {
            let filled = sums.filled[to] - sums.filled[from];
            let weight = if level == LEVELS - 1 {
                mass + clipped
            } else {
                mass
            };
            quantised += weight * (mass / filled).ln();
        }
    }
    (reference - quantised) / all
}

/// The clip with the least expected squared error of rounding to symmetric int8, each value taken at
/// the middle of its bin.
fn mse(histogram: &Histogram) -> Option<f64> {
    let counts = histogram.bins();
    // In bins; the moments of each, up to it.
    let moment = |power: i32| {
        let counts = counts.iter().enumerate();
        running(counts.map(move |(i, n)| *n as f64 * (i as f64 + 0.5).powi(power)))
    };
    let moments = [moment(0), moment(1), moment(2)];
    let error = |clip: usize| squared_error(&moments, clip);
    // A step narrower than a bin would see nothing of what it does.
    let clips = (LEVELS..=counts.len()).map(|clip| (clip, error(clip)));
    let best = clips.reduce(|best, next| if next.1 < best.1 { next } else { best })?;
    Some(best.0 as f64 * histogram.width())
}

/// Summed squared error for a clip after `clip` bins.
fn squared_error(moments: &[Vec<f64>; 3], clip: usize) -> f64 {
    let bins = moments[0].len() - 1;
    let step = clip as f64 / INT8_MAX;
    let mut error = 0.0;
    let mut from = 0;
    for level in 0..LEVELS {
        let value = level as f64 * step;
        // Bins whose middle is nearer to this level than to the next.
        let to = match level + 1 < LEVELS {
            true => ((value + step / 2.0 - 0.5).ceil() as usize).min(bins),
            false => bins,
        };
        let [n, x, xx] = moments.each_ref().map(|m| m[to] - m[from]);
        error += xx - 2.0 * value * x + value * value * n;
        from = to;
    }
    error
}
