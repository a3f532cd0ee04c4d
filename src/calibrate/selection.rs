//! Which clips of a split to take.

/// `count` of `total` things, spread evenly; all where there are no more.
pub fn spread(total: usize, count: usize) -> Vec<usize> {
    let count = count.min(total);
    (0..count)
        .map(|i| (2 * i + 1) * total / (2 * count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn the_things_taken_are_spread_evenly() {
        assert_eq!(spread(4, 4), [0, 1, 2, 3]);
        assert_eq!(spread(10, 1), [5]);
        assert_eq!(spread(10, 3), [1, 5, 8]);
        assert_eq!(spread(3, 9), [0, 1, 2]);
        assert!(spread(0, 3).is_empty() && spread(3, 0).is_empty());
    }
}
