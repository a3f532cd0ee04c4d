//! Window attention against `SwinTransformerBlock3D`, for every way in which a window meets a map.

use super::{Part, assert_close, run, view};
use crate::model::swin_block::{self, Attention};
use crate::model::windows::Windows;

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
            let windows = Windows::new(size, CONFIG.window, number == 1);
            let w = part.weights().pp("blocks").pp(number);
            let x = view(part.get(case, from), &flat);
            let [got] = run([x], |g, [x]| {
                [swin_block::emit(g, &w, x, &windows, CONFIG).unwrap()]
            });
            let expected = view(part.get(case, to), &flat);
            assert_close(&got, &expected, &format!("{case}, {to}"));
        }
    }
}
