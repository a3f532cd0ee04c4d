//! The roofline: what the processor can do at a stage's intensity, and what the stage did.

use std::fmt::Write;

use super::super::super::units::{duration, si};
use super::page::{self, escape};
use crate::roofline::{Limit, Roofline, StageRoofline};

/// Size of the picture; text in it is readable where the page is as narrow as a phone.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 280.0;
/// Room for the axes' texts.
const LEFT: f64 = 46.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 22.0;
const RIGHT: f64 = 20.0;

/// Logarithmic axes, in decades.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    fn around(roofline: &Roofline) -> Self {
        let intensities = roofline.stages.iter().map(|s| s.intensity);
        let ridge = roofline.peak_flops / roofline.bandwidth;
        let speeds = roofline
            .stages
            .iter()
            .map(speed)
            .chain([roofline.peak_flops]);
        let range = |values: &mut dyn Iterator<Item = f64>| {
            let logs = values.filter(|v| *v > 0.0).map(f64::log10);
            let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
                (l.min(v), h.max(v))
            });
            ((low - 0.2).floor(), (high + 0.2).ceil())
        };
        Self {
            x: range(&mut intensities.chain([ridge])),
            y: range(&mut speeds.into_iter()),
        }
    }

    fn place(&self, intensity: f64, flops: f64) -> (f64, f64) {
        let share = |v: f64, (low, high): (f64, f64)| (v.log10() - low) / (high - low).max(1e-9);
        let x = LEFT + share(intensity, self.x) * (WIDTH - LEFT - RIGHT);
        let y = HEIGHT - BOTTOM - share(flops, self.y) * (HEIGHT - BOTTOM - TOP);
        (x, y)
    }
}

/// Float operations per second that a stage reached.
fn speed(stage: &StageRoofline) -> f64 {
    let seconds = stage.bound.ms * stage.measured_over_bound / 1e3;
    stage.flops as f64 / seconds
}

/// The picture and its figures.
pub(super) fn chart(roofline: &Roofline) -> String {
    let axes = Axes::around(roofline);
    let mut shapes = grid(&axes);
    shapes.push_str(&roof(roofline, &axes));
    for (number, stage) in roofline.stages.iter().enumerate() {
        let (x, y) = axes.place(stage.intensity, speed(stage));
        // Writing to a string cannot fail.
        let _ = write!(
            shapes,
            "<circle class=\"bar\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}</title></circle>\
             <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            escape(&stage.name),
            x + 6.0,
            y + 4.0,
            number + 1
        );
    }
    let note = format!(
        "<p class=\"note\">The line is what this processor can do: {}FLOP/s, and {}B/s of memory ({}). A dot is a \
         stage: far below the line, it loses time to something else than arithmetic or memory.</p>\n",
        escape(&si(roofline.peak_flops)),
        escape(&si(roofline.bandwidth)),
        escape(&roofline.source)
    );
    let picture = format!(
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"roofline\">{shapes}</svg>\n"
    );
    note + &picture + &format!("<div class=\"scroll\">{}</div>", figures(roofline))
}

fn grid(axes: &Axes) -> String {
    let mut out = String::new();
    let decades = |(low, high): (f64, f64)| (low as i32..=high as i32).map(|d| 10f64.powi(d));
    for intensity in decades(axes.x) {
        let (x, _) = axes.place(intensity, 1.0);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{intensity}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 13.0
        );
    }
    for flops in decades(axes.y) {
        let (_, y) = axes.place(1.0, flops);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 4.0,
            y + 4.0,
            escape(si(flops).replace(".00", "").replace(".0", "").trim())
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">FLOP per byte</text>\
         <text x=\"2\" y=\"12\">FLOP/s</text>",
        LEFT + (WIDTH - LEFT) / 2.0,
        HEIGHT - 4.0
    );
    out
}

fn roof(roofline: &Roofline, axes: &Axes) -> String {
    let (low, high) = (10f64.powf(axes.x.0), 10f64.powf(axes.x.1));
    let floor = 10f64.powf(axes.y.0);
    let ridge = roofline.peak_flops / roofline.bandwidth;
    // The slope enters the picture at its left or at its bottom.
    let entry = low.max(floor / roofline.bandwidth);
    let points = [
        axes.place(entry, entry * roofline.bandwidth),
        axes.place(ridge, roofline.peak_flops),
        axes.place(high, roofline.peak_flops),
    ];
    let points = points.map(|(x, y)| format!("{x:.1},{y:.1}"));
    format!("<polyline class=\"roof\" points=\"{}\"/>", points.join(" "))
}

fn figures(roofline: &Roofline) -> String {
    let rows = roofline.stages.iter().enumerate().map(|(number, s)| {
        [
            format!("{} {}", number + 1, s.name),
            format!("{}FLOP", si(s.flops as f64)),
            format!("{}B", si(s.bytes as f64)),
            format!("{:.1}", s.intensity),
            duration(s.bound.ms),
            match s.bound.limit {
                Limit::Compute => "arithmetic".to_owned(),
                Limit::Memory => "memory".to_owned(),
            },
            format!("{:.2}", s.measured_over_bound),
        ]
    });
    let headers = [
        "stage",
        "work",
        "traffic",
        "FLOP/byte",
        "at least",
        "by",
        "measured over it",
    ];
    page::table(&headers, rows, "figures")
}
