#![allow(clippy::unwrap_used)]

use super::*;
use crate::tensor::TensorSpec;

/// Seven nodes that make 40 bytes of float32 each, but for the third, which makes a bool that the fifth takes.
fn graph() -> Graph {
    let mut g = Graph::new("part");
    let x = g.input("x", DType::F32, &[10.into()]).unwrap();
    let a = g.shift(x, 1.0).unwrap();
    let b = g.shift(a, 1.0).unwrap();
    let two = g.constant(&[1], &[2.0]).unwrap();
    let is_two = g.equal(b, two).unwrap();
    let c = g.mul(b, a).unwrap();
    let number = g.cast(is_two, DType::F32).unwrap();
    let d = g.mul(number, c).unwrap();
    let e = g.scale(d, 2.0).unwrap();
    g.output("y", e).unwrap();
    g
}

fn names(specs: &[TensorSpec]) -> Vec<&str> {
    specs.iter().map(|s| s.name.as_str()).collect()
}

#[test]
fn cuts_keep_the_budget_and_no_bool_crosses_one() {
    let g = graph();
    assert_eq!(g.cuts(1000, 1), std::slice::from_ref(&(0..7)));
    // The question is node 2, its only user node 4.
    assert_eq!(g.cuts(80, 1), [0..2, 2..5, 5..7]);
    assert_eq!(g.cuts(120, 1), [0..2, 2..6, 6..7]);
    assert_eq!(g.cuts(1, 1), [0..1, 1..2, 2..5, 5..6, 6..7]);
}

#[test]
fn a_symbol_counts_as_the_length_given() {
    let mut g = Graph::new("part");
    let s = Dim::Symbol("S".to_owned());
    let x = g.input("x", DType::F32, &[s, 2.into()]).unwrap();
    let a = g.shift(x, 1.0).unwrap();
    let b = g.shift(a, 1.0).unwrap();
    g.output("y", b).unwrap();
    assert_eq!(g.cuts(80, 5), std::slice::from_ref(&(0..2)));
    assert_eq!(g.cuts(80, 10), [0..1, 1..2]);
    assert_eq!(g.cuts(80, usize::MAX), [0..1, 1..2]);
}

#[test]
fn a_segment_takes_what_crosses_its_border_and_gives_every_float() {
    let g = graph();
    let made = |node: usize| g.spec(g.nodes()[node].outputs[0]).name.as_str();
    let first = g.segment(0..2);
    assert_eq!(names(&first.inputs()), ["x"]);
    assert_eq!(names(&first.outputs()), [made(0), made(1)]);
    let second = g.segment(2..5);
    assert_eq!(names(&second.inputs()), [made(0), made(1)]);
    assert_eq!(names(&second.outputs()), [made(3), made(4)]);
    let third = g.segment(5..7);
    assert_eq!(names(&third.inputs()), [made(3), made(4)]);
    assert_eq!(names(&third.outputs()), [made(5), "y"]);
    let weights = [&first, &second, &third].map(|s| s.initializers().len());
    assert_eq!(weights, [1, 1, 1]);
    assert_eq!(third.name(), "part");
}
