//! The largest set of groups that a budget bears.

use super::{Loss, Result, Scored};

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Numbers of the groups that are lowered, in order.
    pub low: Vec<usize>,
    /// What lowering them together loses.
    pub loss: Loss,
}

/// Finds a largest set of groups, by the number of nodes that are lowered, whose loss together is within
/// `budget_points`; `measure` tells the loss of a set, given as sorted numbers.
///
/// Groups are ordered by how much they change masks alone. Of the sets of the first n, the largest that fits is found by
/// bisection; then each of the others, from the least to the most harmful, is added if the sum still fits.
///
/// # Errors
/// `measure` fails.
pub fn search(
    scored: &[Scored],
    budget_points: f64,
    measure: &mut dyn FnMut(&[usize]) -> Result<Loss>,
) -> Result<Found> {
    let mut order: Vec<usize> = (0..scored.len()).collect();
    let harm = |i: &usize| (scored[*i].loss.mask_change, scored[*i].loss.jf_points);
    order.sort_by(|a, b| {
        harm(a)
            .partial_cmp(&harm(b))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let fits = |loss: &Loss| loss.jf_points <= budget_points;
    let mut test = |numbers: &[usize]| -> Result<Loss> {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        measure(&sorted)
    };
    let none = Loss {
        jf_points: 0.0,
        mask_change: 0.0,
    };
    let all = test(&order)?;
    if fits(&all) {
        order.sort_unstable();
        return Ok(Found {
            low: order,
            loss: all,
        });
    }
    // The first `low` fit, the first `high` do not.
    let (mut low, mut high) = (0, order.len());
    let mut loss = none;
    while high - low > 1 {
        let middle = low.midpoint(high);
        let measured = test(&order[..middle])?;
        if fits(&measured) {
            (low, loss) = (middle, measured);
        } else {
            high = middle;
        }
    }
    let mut set = order[..low].to_vec();
    for number in &order[high..] {
        set.push(*number);
        let measured = test(&set)?;
        if fits(&measured) {
            loss = measured;
        } else {
            set.pop();
        }
    }
    set.sort_unstable();
    Ok(Found { low: set, loss })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(changes: &[f64]) -> Vec<Scored> {
        let one = |change: &f64| Scored {
            stage: "s".into(),
            group: format!("g{change}"),
            nodes: 1,
            loss: Loss {
                jf_points: *change,
                mask_change: *change,
            },
        };
        changes.iter().map(one).collect()
    }

    /// Losses that add up: what the best set is can be told by hand.
    fn run(changes: &[f64], budget: f64) -> Found {
        let scored = scored(changes);
        search(&scored, budget, &mut |set| {
            let sum = set.iter().map(|i| changes[*i]).sum();
            Ok(Loss {
                jf_points: sum,
                mask_change: sum,
            })
        })
        .unwrap()
    }

    #[test]
    fn everything_is_lowered_where_the_budget_bears_it() {
        assert_eq!(run(&[0.1, 0.2, 0.3], 1.0).low, [0, 1, 2]);
    }

    #[test]
    fn the_most_harmful_groups_stay() {
        let found = run(&[0.5, 0.1, 3.0, 0.2], 0.9);
        assert_eq!(found.low, [0, 1, 3]);
        assert!((found.loss.jf_points - 0.8).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_lowered_where_nothing_fits() {
        let found = run(&[2.0, 3.0], 1.0);
        assert_eq!((found.low.len(), found.loss.jf_points), (0, 0.0));
    }

    #[test]
    fn a_group_that_gains_is_found_behind_one_that_loses() {
        let points = [0.4, 0.6, -0.2];
        let found = search(&scored(&[0.1, 0.2, 0.3]), 0.5, &mut |set| {
            Ok(Loss {
                jf_points: set.iter().map(|i| points[*i]).sum(),
                mask_change: 0.0,
            })
        });
        assert_eq!(found.unwrap().low, [0, 2]);
    }
}
