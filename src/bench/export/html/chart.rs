//! The pictures: shapes that stretch with the page, beside text that does not.

use std::fmt::Write;

use super::super::super::units::{duration, memory as memory_text};
use super::super::super::{Report, Series};
use super::page::{self, escape};

/// Width of the coordinates that shapes are drawn in.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;
/// Bars of a histogram at most.
const BINS: usize = 60;

fn svg(shapes: &str, label: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">{shapes}</svg>",
        escape(label)
    )
}

fn row(class: &str, name: &str, small: &str, picture: &str) -> String {
    format!(
        "<div class=\"row {class}\"><div class=\"name\">{}<small>{}</small></div><div>{picture}</div></div>\n",
        escape(name),
        escape(small)
    )
}

/// A histogram for each stage, each on its own scale, with its median and 99th percentile.
pub(super) fn distributions(report: &Report) -> String {
    let mut out = String::from(
        "<p class=\"note\">Each stage on its own scale, from its shortest run to its longest; the solid line is the \
         median, dashed ones are p90 and p99.</p>\n",
    );
    for (name, series) in report.series() {
        let s = &series.summary;
        let small = format!("{} · {} runs", duration(s.p50_ms), s.runs);
        let label = format!(
            "{name}: median {}, p99 {}",
            duration(s.p50_ms),
            duration(s.p99_ms)
        );
        let picture = svg(&histogram(series), &label);
        let scale = format!(
            "<div class=\"scale\"><span>{}</span><span>{}</span></div>",
            duration(s.min_ms),
            duration(s.max_ms)
        );
        out.push_str(&row("", name, &small, &(picture + &scale)));
    }
    out
}

fn histogram(series: &Series) -> String {
    let s = &series.summary;
    let range = s.max_ms - s.min_ms;
    let place = |ms: f64| match range > 0.0 {
        true => (ms - s.min_ms) / range * WIDTH,
        false => WIDTH / 2.0,
    };
    let bins = BINS.min(4 * (s.runs as f64).sqrt().ceil() as usize);
    let mut counts = vec![0usize; bins];
    for ms in &series.samples_ms {
        let bin = (place(*ms) / WIDTH * bins as f64) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1) as f64;
    let width = WIDTH / bins as f64;
    let mut out = String::new();
    // Writing to a string cannot fail.
    for (bin, count) in counts.into_iter().enumerate().filter(|(_, n)| *n > 0) {
        let height = count as f64 / most * HEIGHT * 0.94;
        let _ = write!(
            out,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
            bin as f64 * width,
            HEIGHT - height,
            width * 0.9
        );
    }
    for (class, ms) in [("tail", s.p90_ms), ("tail", s.p99_ms), ("mark", s.p50_ms)] {
        let x = place(ms);
        let _ = write!(
            out,
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"0\" x2=\"{x:.1}\" y2=\"{HEIGHT}\"/>"
        );
    }
    out
}

/// The clip whose total is nearest the median, on one time axis.
pub(super) fn waterfall(report: &Report) -> String {
    let total = &report.total;
    let distance = |ms: &f64| (ms - total.summary.p50_ms).abs();
    let laps = total.samples_ms.iter().zip(&total.starts_ms);
    let Some((length, start)) = laps.min_by(|a, b| distance(a.0).total_cmp(&distance(b.0))) else {
        return String::new();
    };
    let end = start + length;
    let mut out = format!(
        "<p class=\"note\">The clip nearest the median: {} from frames to masks.</p>\n",
        duration(*length)
    );
    for stage in &report.stages {
        let series = &stage.series;
        let runs = series.starts_ms.iter().zip(&series.samples_ms);
        // Overlapped clips share the axis; a clip's own stages begin within it.
        let runs = runs.filter(|(begin, _)| (*start..end).contains(begin));
        let (mut shapes, mut spent, mut count) = (String::new(), 0.0, 0);
        for (begin, ms) in runs {
            let x = (begin - start) / length * WIDTH;
            let width = (ms / length * WIDTH).max(1.5);
            let _ = write!(
                shapes,
                "<rect class=\"bar\" x=\"{x:.1}\" y=\"12\" width=\"{width:.1}\" height=\"76\"/>"
            );
            (spent, count) = (spent + ms, count + 1);
        }
        let small = match count {
            1 => duration(spent),
            n => format!("{} in {n} runs", duration(spent)),
        };
        let label = format!("{}: {small}", stage.name);
        out.push_str(&row("thin", &stage.name, &small, &svg(&shapes, &label)));
    }
    let scale = format!(
        "<div class=\"scale\"><span>0</span><span>{}</span></div>",
        duration(*length)
    );
    out + &row("thin", "", "", &scale)
}

/// Resident memory over a watched run, and the peak of each stage.
pub(super) fn memory(report: &Report) -> String {
    let memory = &report.memory;
    let mut out = String::new();
    let points = &memory.course;
    if let (Some(last), Some(most)) = (points.last(), points.iter().map(|p| p.host_bytes).max())
        && last.at_ms > 0.0
        && most > 0
    {
        let point = |p: &crate::bench::memory::Point| {
            format!(
                "{:.1},{:.1}",
                p.at_ms / last.at_ms * WIDTH,
                HEIGHT - p.host_bytes as f64 / most as f64 * HEIGHT * 0.96
            )
        };
        let line: Vec<String> = points.iter().map(point).collect();
        let shapes = format!("<polyline class=\"curve\" points=\"{}\"/>", line.join(" "));
        let label = format!("resident memory, at most {}", memory_text(most));
        let scale = format!(
            "<div class=\"scale\"><span>0</span><span>{}</span></div>",
            duration(last.at_ms)
        );
        let small = format!("up to {}", memory_text(most));
        let picture = svg(&shapes, &label) + &scale;
        out.push_str(&row("tall", "one clip", &small, &picture));
    }
    let unknown = || "not seen".to_owned();
    let mut rows: Vec<[String; 2]> = memory
        .stages
        .iter()
        .map(|s| {
            [
                s.name.clone(),
                s.peak_host_bytes.map_or_else(unknown, memory_text),
            ]
        })
        .collect();
    let whole = [
        ("loaded, before the first run", memory.loaded_host_bytes),
        ("peak of the process", memory.peak_host_bytes),
        ("on the GPU", memory.device_bytes),
    ];
    let told = whole
        .into_iter()
        .filter_map(|(name, bytes)| Some((name, bytes?)));
    rows.extend(told.map(|(name, bytes)| [name.to_owned(), memory_text(bytes)]));
    out + &page::table(&["resident", "at most"], rows.into_iter(), "figures")
}
