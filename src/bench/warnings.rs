//! What a careful person would say about the figures.

use serde::{Deserialize, Serialize};

use super::report::Report;
use super::units::percent;

/// Coefficient of variation above which a series is unstable.
const MOST_COV: f64 = 0.025;
/// Runs from which the 99th percentile is more than the longest run.
const RUNS_FOR_P99: usize = 100;
/// Processors that others may keep busy.
const MOST_OTHER_LOAD: f64 = 0.1;
/// Share of the shortest stage that the clock may cost.
const MOST_TIMER_SHARE: f64 = 0.01;
/// Share of the highest clock below which the allowed one is called lowered.
const LEAST_CLOCK: f64 = 0.98;

/// Something to know before the figures are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What kind of thing, for machines: `unstable`, `few_runs`, `clocks`, `throttled`, `load`, `fallback`, `timer`,
    /// `build`, `partial`, `power`.
    pub kind: String,
    /// The same for people.
    pub text: String,
}

impl Warning {
    /// A warning of a kind.
    pub fn new(kind: &str, text: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            text: text.into(),
        }
    }
}

/// Everything there is to say about a report.
pub(super) fn collect(report: &Report) -> Vec<Warning> {
    let mut all = Vec::new();
    if report.partial {
        let text = "interrupted: only what was measured until then is here";
        all.push(Warning::new("partial", text));
    }
    if report.environment.build_profile != "release" {
        let text = "a debug build of socc: its own stages are slower; build with --release";
        all.push(Warning::new("build", text));
    }
    let note = report.power.as_ref().and_then(|p| p.note.as_ref());
    all.extend(note.map(|note| Warning::new("power", note)));
    series(report, &mut all);
    clocks(report, &mut all);
    load(report, &mut all);
    if let Some(share) = report.timer.share_of_shortest_stage
        && share > MOST_TIMER_SHARE
    {
        let text = format!(
            "reading the clock takes {} of the shortest stage's time",
            percent(share)
        );
        all.push(Warning::new("timer", text));
    }
    all
}

fn series(report: &Report, all: &mut Vec<Warning>) {
    let unstable: Vec<String> = report
        .series()
        .filter_map(|(name, s)| Some((name, s.summary.cov.filter(|c| *c > MOST_COV)?)))
        .map(|(name, cov)| format!("{name} {}", percent(cov)))
        .collect();
    if !unstable.is_empty() {
        let text = format!(
            "the coefficient of variation is above {}: {}",
            percent(MOST_COV),
            unstable.join(", ")
        );
        all.push(Warning::new("unstable", text));
    }
    let runs = report.series().map(|(_, s)| s.summary.runs).min();
    if let Some(runs) = runs.filter(|r| *r < RUNS_FOR_P99) {
        let text = format!(
            "{runs} runs are too few for a 99th percentile, which needs {RUNS_FOR_P99}: p99 is near the longest run; \
             raise --iterations or --duration-ms"
        );
        all.push(Warning::new("few_runs", text));
    }
}

fn clocks(report: &Report, all: &mut Vec<Warning>) {
    let cpu = &report.environment.cpu;
    if cpu.governors.iter().any(|g| g == "powersave") {
        let text = "a processor's clock is governed by `powersave`; take `performance` for figures that repeat";
        all.push(Warning::new("clocks", text));
    }
    if let (Some(allowed), Some(highest)) = (cpu.allowed_mhz, cpu.highest_mhz)
        && allowed < highest * LEAST_CLOCK
    {
        let text = format!("clocks are held at {allowed:.0} of {highest:.0} MHz");
        all.push(Warning::new("clocks", text));
    }
    let throttles = report.environment.usage.and_then(|u| u.thermal_throttles);
    if let Some(times) = throttles.filter(|t| *t > 0) {
        let text = format!("heat slowed processors {times} times meanwhile");
        all.push(Warning::new("throttled", text));
    }
}

fn load(report: &Report, all: &mut Vec<Warning>) {
    let Some(usage) = report.environment.usage else {
        return;
    };
    let logical = report.environment.cpu.logical;
    if let Some(busy) = usage.other_load_processors.filter(|b| *b > MOST_OTHER_LOAD) {
        let text = format!("other programs kept {busy:.1} of {logical} processors busy meanwhile");
        all.push(Warning::new("load", text));
    }
    if let Some(stolen) = usage.stolen_processors.filter(|s| *s > MOST_OTHER_LOAD) {
        let text = format!("the hypervisor gave {stolen:.1} processors to others meanwhile");
        all.push(Warning::new("load", text));
    }
}
