//! The assignment problem, as `scipy.optimize.linear_sum_assignment` solves it.

/// For each row a column of its own, so that the sum of gains is the highest: shortest augmenting paths
/// with potentials, O(rows² columns). There are at least as many columns as rows.
pub fn best_columns(gains: &[Vec<f64>]) -> Vec<usize> {
    let (rows, columns) = (gains.len(), gains.first().map_or(0, Vec::len));
    // Index 0 of columns stands for "none".
    let mut row_of = vec![0usize; columns + 1];
    let (mut u, mut v) = (vec![0.0; rows + 1], vec![0.0; columns + 1]);
    for row in 1..=rows {
        row_of[0] = row;
        let mut column = 0;
        let mut least = vec![f64::INFINITY; columns + 1];
        let mut previous = vec![0usize; columns + 1];
        let mut used = vec![false; columns + 1];
        while row_of[column] != 0 {
            used[column] = true;
            let at = row_of[column];
            let (mut delta, mut next) = (f64::INFINITY, 0);
            for c in (1..=columns).filter(|c| !used[*c]) {
                let cost = -gains[at - 1][c - 1] - u[at] - v[c];
                if cost < least[c] {
                    (least[c], previous[c]) = (cost, column);
                }
                if least[c] < delta {
                    (delta, next) = (least[c], c);
                }
            }
            if next == 0 {
                // Fewer columns than rows: the row stays without one.
                break;
            }
            for c in 0..=columns {
                if used[c] {
                    u[row_of[c]] += delta;
                    v[c] -= delta;
                } else {
                    least[c] -= delta;
                }
            }
            column = next;
        }
        while column != 0 {
            let before = previous[column];
            row_of[column] = row_of[before];
            column = before;
        }
    }
    let mut chosen = vec![0; rows];
    for (column, row) in row_of.iter().enumerate().skip(1).filter(|(_, r)| **r > 0) {
        chosen[row - 1] = column - 1;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every permutation, for matrices of pseudo-random gains.
    #[test]
    fn no_permutation_is_better() {
        fn best(gains: &[Vec<f64>], row: usize, taken: &mut Vec<usize>) -> f64 {
            if row == gains.len() {
                return 0.0;
            }
            let mut most = f64::NEG_INFINITY;
            for c in 0..gains[0].len() {
                if !taken.contains(&c) {
                    taken.push(c);
                    most = most.max(gains[row][c] + best(gains, row + 1, taken));
                    taken.pop();
                }
            }
            most
        }
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        for (rows, columns) in [(1, 1), (2, 2), (3, 5), (4, 4), (5, 6)] {
            for _ in 0..20 {
                let row =
                    |random: &mut dyn FnMut() -> f64| (0..columns).map(|_| random()).collect();
                let gains: Vec<Vec<f64>> = (0..rows).map(|_| row(&mut random)).collect();
                let columns_of = best_columns(&gains);
                let mut distinct = columns_of.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), rows);
                let sum: f64 = columns_of
                    .iter()
                    .enumerate()
                    .map(|(r, c)| gains[r][*c])
                    .sum();
                assert!((sum - best(&gains, 0, &mut Vec::new())).abs() < 1e-12);
            }
        }
    }
}
