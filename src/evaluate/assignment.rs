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

    #[derive(serde::Deserialize)]
    struct Case {
        gains: Vec<Vec<f64>>,
        columns: Vec<usize>,
    }

    #[test]
    fn columns_are_those_of_scipy() {
        let text = include_str!("../../tests/fixtures/datasets/assignment.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            assert_eq!(best_columns(&case.gains), case.columns);
        }
        assert!(best_columns(&[]).is_empty());
    }
}
