//! Two reports against each other.

use serde::Serialize;

use super::report::{Report, Series};
use super::units::Milliseconds;
use super::{BenchError, Interval, Result, median_ratio};

/// Samples below which an interval means little.
const FEW: usize = 10;

/// What an interval says about a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval lies above `1 + fail_over`.
    Slower,
    /// The whole interval lies below `1 / (1 + fail_over)`.
    Faster,
    /// Neither.
    Same,
}

/// A stage, or the whole, in both reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The stage, or `total`.
    pub name: String,
    /// Median of the one.
    pub base_p50_ms: Milliseconds,
    /// Median of the other.
    pub new_p50_ms: Milliseconds,
    /// Median over median, with its 95 % interval.
    pub ratio: Interval,
    /// What that says.
    pub verdict: Verdict,
}

/// Two reports against each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Share that a stage may be slower.
    pub fail_over: f64,
    /// Every stage that both have, then the whole.
    pub rows: Vec<Row>,
    /// What to know before the verdict is believed.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Whether anything is slower by more than is allowed.
    pub fn regressed(&self) -> bool {
        self.rows.iter().any(|r| r.verdict == Verdict::Slower)
    }
}

/// Compares `new` with `base`. Reports of other machines or settings are compared with `force` alone, and then their
/// differences are among the notes.
///
/// # Errors
/// They are not about the same thing.
pub fn compare(base: &Report, new: &Report, fail_over: f64, force: bool) -> Result<Comparison> {
    let differences = differences(base, new);
    if !differences.is_empty() && !force {
        return Err(BenchError::Unlike {
            differences: differences.join("; "),
        });
    }
    let mut notes: Vec<String> = differences
        .iter()
        .map(|d| format!("the reports differ in {d}"))
        .collect();
    notes.extend(remarks("the base", base));
    notes.extend(remarks("the new report", new));
    let mut rows = Vec::new();
    for (name, before) in base.series() {
        match new.series().find(|(other, _)| *other == name) {
            Some((_, after)) => rows.extend(row(name, before, after, fail_over)),
            None => notes.push(format!("stage {name} is in the base alone")),
        }
    }
    let fewest = [base, new]
        .into_iter()
        .flat_map(Report::series)
        .map(|(_, s)| s.samples_ms.len())
        .min();
    if let Some(runs) = fewest.filter(|n| *n < FEW) {
        notes.push(format!(
            "{runs} runs are too few for an interval to rely on"
        ));
    }
    Ok(Comparison {
        fail_over,
        rows,
        notes,
    })
}

fn row(name: &str, base: &Series, new: &Series, fail_over: f64) -> Option<Row> {
    let ratio = median_ratio(&base.samples_ms, &new.samples_ms)?;
    let limit = 1.0 + fail_over;
    Some(Row {
        name: name.to_owned(),
        base_p50_ms: base.summary.p50_ms,
        new_p50_ms: new.summary.p50_ms,
        ratio,
        verdict: match ratio {
            r if r.low > limit => Verdict::Slower,
            r if r.high < 1.0 / limit => Verdict::Faster,
            _ => Verdict::Same,
        },
    })
}

/// Warnings of a report that a ratio inherits.
fn remarks(which: &str, report: &Report) -> Vec<String> {
    let weighty = ["partial", "throttled", "load", "fallback"];
    let warnings = report.warnings.iter();
    warnings
        .filter(|w| weighty.contains(&w.kind.as_str()))
        .map(|w| format!("{which}: {}", w.text))
        .collect()
}

/// What keeps two reports from being about the same thing, each with both values.
fn differences(base: &Report, new: &Report) -> Vec<String> {
    let machines = base.environment.machine().into_iter();
    let machines = machines.zip(new.environment.machine());
    let settings = settings(base).into_iter().zip(settings(new));
    machines
        .chain(settings)
        .filter(|((_, a), (_, b))| a != b)
        .map(|((name, a), (_, b))| format!("{name} ({} and {})", shown(&a), shown(&b)))
        .collect()
}

/// Settings that must agree. The source, its precision and the versions may differ: they are what one compares.
fn settings(report: &Report) -> [(&'static str, String); 6] {
    let s = &report.settings;
    let clip = format!(
        "{} frames of {}x{}, seen as {}x{}",
        s.frames, s.source_height, s.source_width, s.height, s.width
    );
    [
        ("mode", s.mode.to_string()),
        ("engine", s.engine.clone()),
        (
            "threads",
            s.threads.map_or("default".to_owned(), |n| n.to_string()),
        ),
        ("clip", clip),
        ("video", s.video.clone().unwrap_or("synthetic".to_owned())),
        ("expressions", format!("{:?}", s.expressions)),
    ]
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}
