use super::*;

fn observed(parts: &[&[f32]]) -> Observer {
    let mut observer = Observer::default();
    for part in parts {
        observer.observe(part).unwrap();
    }
    observer
}

/// Values over many orders of magnitude, of both signs, zeros among them.
fn wild(count: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as u32
    };
    (0..count)
        .map(|_| {
            let x = next() as f32 / (1_u32 << 31) as f32 - 0.5;
            match next() % 8 {
                0 => 0.0,
                n => x * (n as f32 * 4.0 - 16.0).exp2(),
            }
        })
        .collect()
}

#[test]
fn neither_order_nor_division_matters() {
    let values = wild(40_000);
    let whole = observed(&[&values]);
    let parts: Vec<&[f32]> = values.chunks(777).collect();
    assert_eq!(observed(&parts), whole);
    let mut sorted = values.clone();
    sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    // From the smallest to the largest: the range doubles all the way.
    let parts: Vec<&[f32]> = sorted.chunks(1).collect();
    assert_eq!(observed(&parts), whole);
    sorted.reverse();
    let parts: Vec<&[f32]> = sorted.chunks(9_001).collect();
    assert_eq!(observed(&parts), whole);
}

#[test]
fn every_value_is_in_the_bin_that_spans_it() {
    let values = wild(30_000);
    let observer = observed(&[&values]);
    let width = observer.histogram().width();
    let mut expected = vec![0_u64; BINS];
    for x in &values {
        expected[(f64::from(x.abs()) / width).floor() as usize] += 1;
    }
    let bins = observer.histogram().bins();
    assert_eq!(bins, &expected[..bins.len()]);
    assert_eq!(bins.iter().sum::<u64>(), 30_000);
    // The largest magnitude is in the upper half.
    assert!(bins.len() > BINS / 2);
}

#[test]
fn extremes_are_those_of_the_values() {
    let values = wild(5_000);
    let observer = observed(&[&values[..2], &values[2..]]);
    let fold = |f: fn(f32, f32) -> f32, start| values.iter().copied().fold(start, f);
    assert_eq!(observer.min(), fold(f32::min, 0.0));
    assert_eq!(observer.max(), fold(f32::max, 0.0));
    let nonzero = values.iter().map(|x| x.abs()).filter(|x| *x > 0.0);
    assert_eq!(observer.smallest(), nonzero.fold(1.0, f32::min));
    assert_eq!(observer.samples(), 5_000);
}

#[test]
fn zeros_say_nothing_about_the_range() {
    let zeros = observed(&[&[0.0, -0.0], &[0.0]]);
    assert_eq!(
        (zeros.min(), zeros.max(), zeros.smallest()),
        (0.0, 0.0, 0.0)
    );
    assert_eq!((zeros.peak(), zeros.samples()), (0.0, 3));
    let (before, after) = (observed(&[&[0.0], &[3.0]]), observed(&[&[3.0], &[0.0]]));
    assert_eq!(before, after);
    assert_eq!(before.histogram().bins()[0], 1);
    assert_eq!(before.histogram().width(), 4.0 / BINS as f64);
}

#[test]
fn the_ends_of_float32_are_held() {
    let observer = observed(&[&[f32::MAX, f32::MIN, f32::from_bits(1), f32::MIN_POSITIVE]]);
    assert_eq!((observer.min(), observer.max()), (f32::MIN, f32::MAX));
    assert_eq!(observer.smallest(), f32::from_bits(1));
    let bins = observer.histogram().bins();
    assert_eq!((bins[0], bins[BINS - 1]), (2, 2));
    let tiny = observed(&[&[f32::from_bits(1)], &[f32::from_bits(7)]]);
    assert_eq!(tiny.histogram().bins(), [2]);
    assert_eq!(observed(&[]).samples(), 0);
}

#[test]
fn what_is_no_number_is_refused_and_not_counted() {
    let mut observer = observed(&[&[1.0]]);
    let before = observer.clone();
    let values = [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let error = observer.observe(&values).unwrap_err();
    assert_eq!((error.nan, error.infinite), (1, 2));
    assert_eq!(observer, before);
}
