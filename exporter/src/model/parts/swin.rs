//! Window attention against `SwinTransformerBlock3D`, for every way in which a window meets a map.

use super::{Part, assert_close, run, view};
use crate::graph::{Graph, Value};
use crate::model::sections::Sections;
use crate::model::swin_block::{self, Attention};
use crate::model::windows::Windows;
use crate::weights::Weights;

const CONFIG: Attention = Attention {
    window: [4, 3, 3],
    heads: 2,
};

#[test]
fn blocks_equal_the_official_ones() {
    let part = Part::open("windows");
    for case in part.cases() {
        let size: [usize; 3] = part.get(case, "input").0[..3].try_into().unwrap();
        let flat = [size.iter().product(), 8];
        for (number, from, to) in [(0, "input", "plain"), (1, "plain", "shifted")] {
            let w = part.weights().pp("blocks").pp(number);
            let expected = view(part.get(case, to), &flat);
            for at_once in [usize::MAX, 8, 1] {
                let windows = Windows::parts(size, CONFIG.window, number == 1, at_once);
                let x = view(part.get(case, from), &flat);
                let [got] = run([x], |g, [x]| [in_parts(g, &w, x, size, &windows)]);
                assert_close(&got, &expected, &format!("{case}, {to}, {at_once} frames"));
            }
        }
    }
}

/// A block over a map of `size`, run by parts of its windows.
fn in_parts(g: &mut Graph, w: &Weights, x: Value, size: [usize; 3], windows: &[Windows]) -> Value {
    let rows = size[1] * size[2];
    let ranges: Vec<_> = windows.iter().map(|w| w.frames.clone()).collect();
    let x = Sections::whole(size[0], rows, x).regrouped(g, &ranges);
    let x = x.unwrap().map(g, rows, |g, (part, range), x| {
        assert_eq!(*range, windows[part].frames);
        swin_block::emit(g, w, x, &windows[part], CONFIG)
    });
    x.unwrap().joined(g).unwrap()
}
