//! Units of the figures, and how people read them.

/// Thousandths of a second.
pub type Milliseconds = f64;
/// Bytes of memory.
pub type Bytes = u64;

/// A span of time with three digits, in the unit that suits it.
pub fn duration(ms: Milliseconds) -> String {
    match ms.abs() {
        t if t >= 1e4 => digits(ms / 1e3, "s"),
        t if t >= 1.0 || t == 0.0 => digits(ms, "ms"),
        t if t >= 1e-3 => digits(ms * 1e3, "µs"),
        _ => digits(ms * 1e6, "ns"),
    }
}

/// An amount of memory with three digits, in powers of two.
pub fn memory(bytes: Bytes) -> String {
    let bytes = bytes as f64;
    match bytes {
        b if b >= (1u64 << 30) as f64 => digits(bytes / (1u64 << 30) as f64, "GiB"),
        b if b >= (1u64 << 20) as f64 => digits(bytes / (1u64 << 20) as f64, "MiB"),
        _ => digits(bytes / 1024.0, "KiB"),
    }
}

/// A share of one, in percent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A count with an SI prefix: `1.23 G` of a unit that the caller adds.
pub fn si(value: f64) -> String {
    match value.abs() {
        v if v >= 1e12 => digits(value / 1e12, "T"),
        v if v >= 1e9 => digits(value / 1e9, "G"),
        v if v >= 1e6 => digits(value / 1e6, "M"),
        v if v >= 1e3 => digits(value / 1e3, "k"),
        _ => digits(value, "").trim_end().to_owned(),
    }
}

/// Three digits, none lost before the point.
fn digits(value: f64, unit: &str) -> String {
    let places = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.places$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_in_the_unit_that_suits() {
        let texts = [0.0000214, 0.0214, 1.234, 12.34, 123.4, 5432.1, 12345.6].map(duration);
        let expected = [
            "21.4 ns", "21.4 µs", "1.23 ms", "12.3 ms", "123 ms", "5432 ms", "12.3 s",
        ];
        assert_eq!(texts, expected);
        assert_eq!(memory(3 << 20), "3.00 MiB");
        assert_eq!(memory(5 << 30), "5.00 GiB");
        assert_eq!(percent(0.025), "2.5 %");
        assert_eq!(si(438e9), "438 G");
    }
}
