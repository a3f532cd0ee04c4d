//! `.html`: one page, complete in itself: no script, no network. Its pictures are drawn from the report alone.

mod chart;
mod page;
mod roofline;

use std::fmt::Write;

use super::super::units::{duration, memory, percent};
use super::super::{Mode, Report};
use super::table;
use page::{Page, escape};

pub(super) fn render(report: &Report) -> String {
    let mut page = Page::new("socc bench");
    headline(&mut page, report);
    warnings(&mut page, report);
    figures(&mut page, report);
    page.section("Latency distributions", &chart::distributions(report));
    page.section("Stage waterfall", &chart::waterfall(report));
    if let Some(roofline) = &report.roofline {
        page.section("Roofline", &roofline::chart(roofline));
    }
    amortisation(&mut page, report);
    power(&mut page, report);
    page.section("Memory", &chart::memory(report));
    let rows = table::environment(report);
    let rows = rows.into_iter().map(|(key, value)| [key.to_owned(), value]);
    page.section("Environment", &page::table(&[], rows, "pairs"));
    page.finish()
}

/// Title and the figures that people look for first.
fn headline(page: &mut Page, report: &Report) {
    let s = &report.settings;
    let total = &report.total.summary;
    let mut tiles = vec![
        ("median per clip", duration(total.p50_ms)),
        ("p99 per clip", duration(total.p99_ms)),
        ("per frame", duration(total.p50_ms / s.frames as f64)),
    ];
    if let Some(t) = report.throughput {
        tiles.push(("frames per second", format!("{:.2}", t.frames_per_s)));
        tiles.push(("clips per second", format!("{:.3}", t.clips_per_s)));
    }
    if let Some(c) = report.cold {
        tiles.push(("first mask after", duration(c.time_to_first_mask_ms)));
    }
    if let Some(bytes) = report.memory.peak_host_bytes {
        tiles.push(("peak memory", memory(bytes)));
    }
    let what = format!(
        "{} on {} ({}), {} frames of {}x{}, {} expression{}, mode {}",
        report.source.path,
        s.engine,
        s.engine_version,
        s.frames,
        s.height,
        s.width,
        s.expressions.len(),
        if s.expressions.len() == 1 { "" } else { "s" },
        s.mode
    );
    page.raw(&format!("<p class=\"lead\">{}</p>\n", escape(&what)));
    let mut html = String::from("<div class=\"tiles\">");
    for (label, value) in tiles {
        let _ = write!(
            html,
            "<div class=\"tile\"><b>{}</b><span>{label}</span></div>",
            escape(&value)
        );
    }
    page.raw(&(html + "</div>\n"));
}

fn warnings(page: &mut Page, report: &Report) {
    if report.warnings.is_empty() {
        return;
    }
    let items = report.warnings.iter().map(|w| {
        format!(
            "<li><b>{}</b> {}</li>",
            escape(&w.kind.replace('_', " ")),
            escape(&w.text)
        )
    });
    let items: String = items.collect();
    page.raw(&format!("<ul class=\"warnings\">{items}</ul>\n"));
}

fn figures(page: &mut Page, report: &Report) {
    let rows = table::stages(report).into_iter();
    let table = page::table(&table::HEADERS, rows, "summed");
    page.section(
        "Stages, milliseconds",
        &format!("<div class=\"scroll\">{table}</div>"),
    );
}

fn power(page: &mut Page, report: &Report) {
    let sensors = report.power.iter().flat_map(|p| &p.sensors);
    let rows: Vec<[String; 4]> = sensors
        .flat_map(|s| {
            let name = format!("{} ({})", s.sensor, s.covers);
            let whole = (name, s.mean_w, s.peak_w, Some(s.joules_per_clip));
            let rails = s
                .rails
                .iter()
                .map(|r| (r.name.clone(), r.mean_w, r.peak_w, None));
            std::iter::once(whole).chain(rails)
        })
        .map(|(name, mean, peak, joules)| {
            let joules = joules.map_or_else(String::new, |j| format!("{j:.3}"));
            [name, format!("{mean:.2}"), format!("{peak:.2}"), joules]
        })
        .collect();
    if !rows.is_empty() {
        let headers = ["sensor", "mean W", "peak W", "J per clip"];
        let table = page::table(&headers, rows.into_iter(), "figures");
        page.section("Power", &format!("<div class=\"scroll\">{table}</div>"));
    }
}

fn amortisation(page: &mut Page, report: &Report) {
    if report.settings.mode != Mode::Latency || report.amortisation.is_empty() {
        return;
    }
    let one = report.amortisation[0].ms_per_expression;
    let rows = report.amortisation.iter().map(|a| {
        let ms = |v: f64| format!("{v:.3}");
        [
            a.expressions.to_string(),
            ms(a.clip_ms),
            ms(a.ms_per_frame),
            ms(a.ms_per_expression),
            percent(a.ms_per_expression / one),
        ]
    });
    let headers = [
        "expressions",
        "ms per clip",
        "ms per frame",
        "ms per expression",
        "of one alone",
    ];
    let table = page::table(&headers, rows, "figures");
    page.section(
        "Several expressions per clip",
        &format!("<div class=\"scroll\">{table}</div>"),
    );
}
