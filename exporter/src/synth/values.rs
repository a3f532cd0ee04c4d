//! The rule that makes a weight from its key and index.

/// Values of the float32 tensor `key` of shape `shape`, row-major.
///
/// With `h` the FNV-1a hash of the key (64 bits, over its UTF-8 bytes) and `i` the flat index:
///
/// ```text
/// x = splitmix64_finalise(h + i * 0x9E3779B97F4A7C15)          modulo 2^64
/// u = float32(x >> 40) * 2^-24;  v = 2 u - 1;  w = v * a + b    each operation rounded to float32, none fused
/// ```
///
/// The first line that fits gives `a` and `b`:
///
/// | key | a | b |
/// |---|---|---|
/// | ends with `relative_position_bias_table` | 0.3 | 0 |
/// | ends with `running_var` | 0.2 | 1 |
/// | ends with `running_mean` | 0.1 | 0 |
/// | ends with `sampling_offsets.bias` | 2 | 0 |
/// | contains `_embeddings.weight`, `query_embed.weight`, `proxy_embed.weight`, `fq_pos.weight` or `level_embed` | 0.5 | 0 |
/// | one axis, ends with `weight` | 0.1 | 1 |
/// | one axis | 0.05 | 0 |
/// | ends with `sampling_offsets.weight` | 0.5 sqrt(3 / fan-in) | 0 |
/// | any other | sqrt(3 / fan-in) | 0 |
///
/// where fan-in is the product of all axes but the first.
pub fn values(key: &str, shape: &[usize]) -> Vec<f32> {
    let rule = Rule::of(key, shape);
    let elements: usize = shape.iter().product();
    (0..elements as u64).map(|i| rule.at(i)).collect()
}

/// The rule for one tensor: any element can be had on its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    hash: u64,
    scale: f32,
    centre: f32,
}

impl Rule {
    /// The rule for the tensor `key` of shape `shape`.
    pub(super) fn of(key: &str, shape: &[usize]) -> Self {
        let (scale, centre) = spread(key, shape);
        Self {
            hash: fnv1a(key.as_bytes()),
            scale,
            centre,
        }
    }

    /// The element of flat index `i`.
    pub(super) fn at(&self, i: u64) -> f32 {
        let bits = finalise(
            self.hash
                .wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        );
        // 24 bits: exact in float32, as is the power of two.
        let unit = (bits >> 40) as f32 * (1.0 / 16_777_216.0);
        (2.0 * unit - 1.0) * self.scale + self.centre
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The last step of splitmix64.
fn finalise(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Half the width of the interval that values are drawn from, and its centre.
fn spread(key: &str, shape: &[usize]) -> (f32, f32) {
    const EMBEDDINGS: [&str; 5] = [
        "_embeddings.weight",
        "query_embed.weight",
        "proxy_embed.weight",
        "fq_pos.weight",
        "level_embed",
    ];
    let one_axis = shape.len() == 1;
    if key.ends_with("relative_position_bias_table") {
        (0.3, 0.0)
    } else if key.ends_with("running_var") {
        (0.2, 1.0)
    } else if key.ends_with("running_mean") {
        (0.1, 0.0)
    } else if key.ends_with("sampling_offsets.bias") {
        (2.0, 0.0)
    } else if EMBEDDINGS.iter().any(|part| key.contains(part)) {
        (0.5, 0.0)
    } else if one_axis && key.ends_with("weight") {
        (0.1, 1.0)
    } else if one_axis {
        (0.05, 0.0)
    } else {
        let fan_in: f64 = shape.iter().skip(1).map(|&n| n as f64).product();
        let scale = (3.0 / fan_in).sqrt();
        let offsets = key.ends_with("sampling_offsets.weight");
        ((if offsets { 0.5 * scale } else { scale }) as f32, 0.0)
    }
}
