//! Weights in other types: written on demand, in bounded pieces.

use std::io::{self, Write};
use std::sync::Arc;

use half::f16;
use socc_exporter::graph::{Data, DataError};

/// Float32 data as float16, rounded to nearest even.
pub(super) fn to_half(data: &Data) -> Data {
    let data = data.clone();
    Data::stream(move |out| {
        let mut writer = HalfWriter {
            out,
            pending: Vec::new(),
        };
        data.write_to(&mut writer)
    })
}

/// Takes little-endian float32 bytes and passes float16 bytes on.
struct HalfWriter<'a> {
    out: &'a mut dyn Write,
    /// The beginning of a number whose end has not come yet.
    pending: Vec<u8>,
}

impl Write for HalfWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        let whole = self.pending.len() / 4 * 4;
        let mut halves = Vec::with_capacity(whole / 2);
        for value in floats(&self.pending[..whole]) {
            halves.extend(f16::from_f32(value).to_le_bytes());
        }
        self.out.write_all(&halves)?;
        self.pending.drain(..whole);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// All values of a float32 initializer.
pub(super) fn read(data: &Data) -> Result<Vec<f32>, DataError> {
    let mut bytes = Vec::new();
    data.write_to(&mut bytes)?;
    Ok(floats(&bytes).collect())
}

/// Float32 data as symmetric int8 with one scale per row of `row` elements, or one in all where there is one scale:
/// rounded to nearest even, clipped to -127..=127.
pub(super) fn to_int8(data: &Data, scales: Arc<[f32]>, row: usize) -> Data {
    let data = data.clone();
    Data::stream(move |out| {
        let values = read(&data)?;
        let quantized = values.iter().enumerate().map(|(i, value)| {
            let scale = scales[(i / row.max(1)).min(scales.len() - 1)];
            (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8 as u8
        });
        Ok(out.write_all(&quantized.collect::<Vec<u8>>())?)
    })
}

/// How well float16 holds values: relative L2 error of rounding, share of the non-zero values that are subnormal, and
/// the largest magnitude.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HalfFit {
    pub relative_l2: f64,
    pub subnormal_share: f64,
    pub peak: f32,
}

/// Measures what rounding to float16 does to values.
pub(super) fn half_fit(values: &[f32]) -> HalfFit {
    let (mut error, mut total, mut peak) = (0.0_f64, 0.0_f64, 0.0_f32);
    let (mut subnormal, mut nonzero) = (0_usize, 0_usize);
    for value in values {
        let rounded = f64::from(f16::from_f32(*value).to_f32());
        error += (rounded - f64::from(*value)).powi(2);
        total += f64::from(*value).powi(2);
        peak = peak.max(value.abs());
        nonzero += usize::from(*value != 0.0);
        subnormal += usize::from(*value != 0.0 && value.abs() < f16::MIN_POSITIVE.to_f32());
    }
    let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
    HalfFit {
        relative_l2: ratio(error, total).sqrt(),
        subnormal_share: ratio(subnormal as f64, nonzero as f64),
        peak,
    }
}
