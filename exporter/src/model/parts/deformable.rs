//! Deformable attention against `MSDeformAttn`, in both lowerings.

use super::{Part, assert_close, run};
use crate::nn::{Deformable, DeformableAttention, Level, References};

#[test]
fn both_lowerings_equal_the_official_attention() {
    let part = Part::open("deformable");
    let attention = DeformableAttention::load(&part.weights(), 16, 2, 4, 3).unwrap();
    for case in part.cases() {
        let sizes = part.0.read_i64(&format!("cases.{case}.levels")).unwrap();
        let levels: Vec<Level> = sizes
            .chunks(2)
            .map(|size| Level {
                height: size[0] as usize,
                width: size[1] as usize,
            })
            .collect();
        let mut reference = part.get(case, "reference");
        let boxes = reference.0[2] == 4;
        if !boxes {
            // Points are given in -1..1 there.
            reference.1.iter_mut().for_each(|v| *v = 2.0 * *v - 1.0);
        }
        for lowering in [Deformable::GridSample, Deformable::Gather] {
            let operands = [
                part.get(case, "query"),
                reference.clone(),
                part.get(case, "memory"),
            ];
            let [got] = run(operands, |g, [query, reference, memory]| {
                let reference = match boxes {
                    true => References::Boxes(reference),
                    false => References::Grid(reference),
                };
                [attention
                    .emit(g, query, reference, memory, &levels, lowering)
                    .unwrap()]
            });
            let what = format!("{case}, {lowering:?}");
            assert_close(&got, &part.get(case, "output"), &what);
        }
    }
}
