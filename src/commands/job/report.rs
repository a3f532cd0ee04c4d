//! What a job found, for machines and for people.

use std::path::Path;

use serde::Serialize;
use socc::metrics::Score;
use socc::results::FRAMES;
use socc::segment::Answer;

use crate::commands::table::Table;

/// `result.json`.
#[derive(Serialize)]
pub struct JobResult {
    /// Version of socc.
    pub socc: &'static str,
    pub source: String,
    pub engine: String,
    pub engine_version: String,
    pub video: String,
    /// How many frames were answered for.
    pub frame_count: usize,
    /// Their names, but of a stream, whose frames stand in `frames.jsonl`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<String>,
    /// Pictures of a folder that filled which came too late and were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<usize>,
    /// Size of the masks, in pixels.
    pub height: u32,
    pub width: u32,
    /// Size that the model saw, in pixels.
    pub model_height: usize,
    pub model_width: usize,
    pub expressions: Vec<ExpressionResult>,
    pub times_ms: Times,
}

#[derive(Serialize)]
pub struct ExpressionResult {
    pub text: String,
    #[serde(flatten)]
    pub answer: Answer,
    /// Against the ground truth, where that is known.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

/// Region similarity, boundary accuracy, and their mean.
#[derive(Clone, Copy, Serialize)]
pub struct Quality {
    pub j: f64,
    pub f: f64,
    pub jf: f64,
}

impl From<Score> for Quality {
    fn from(score: Score) -> Self {
        Self {
            j: score.j,
            f: score.f,
            jf: score.jf(),
        }
    }
}

/// Where the time went, in milliseconds.
#[derive(Serialize)]
pub struct Times {
    /// Opening the source and compiling the stages.
    pub load: f64,
    /// Decoding and resizing frames.
    pub read: f64,
    /// Each stage.
    pub stages: Vec<StageTime>,
    /// Masks and pictures.
    pub write: f64,
    /// From start to end.
    pub total: f64,
}

#[derive(Serialize)]
pub struct StageTime {
    pub name: String,
    pub runs: usize,
    pub total: f64,
}

/// What was found, as a table.
fn answer_table(result: &JobResult) -> Table {
    let scored = result.expressions.iter().any(|e| e.quality.is_some());
    let headers = ["", "expression", ">query", ">score", ">J&F"];
    let mut table = Table::new(&headers[..if scored { 5 } else { 4 }]);
    for (k, expression) in result.expressions.iter().enumerate() {
        let answer = &expression.answer;
        let score = answer.scores.get(answer.selected_query);
        let score = score.map_or(String::new(), |s| format!("{s:.3}"));
        let jf = expression.quality.map(|q| format!("{:.3}", q.jf));
        let query = answer.selected_query.to_string();
        let text = expression.text.clone();
        table.row([k.to_string(), text, query, score, jf.unwrap_or_default()]);
    }
    table
}

/// Times as a table.
fn time_table(times: &Times) -> Table {
    let mut table = Table::new(&["stage", ">runs", ">ms"]);
    let ms = |v: f64| format!("{v:.1}");
    table.row(["load".to_owned(), String::new(), ms(times.load)]);
    table.row(["read frames".to_owned(), String::new(), ms(times.read)]);
    for stage in &times.stages {
        table.row([stage.name.clone(), stage.runs.to_string(), ms(stage.total)]);
    }
    table.row(["write results".to_owned(), String::new(), ms(times.write)]);
    table.row(["in all".to_owned(), String::new(), ms(times.total)]);
    table
}

/// Both tables and where the files are.
pub fn report(result: &JobResult, out: &Path) -> String {
    let late = match result.late {
        None | Some(0) => String::new(),
        Some(late) => {
            format!("{late} pictures came behind one that had been taken, and were left out\n")
        }
    };
    let lines = match result.frames.is_empty() {
        true => format!("{} frames: masks, overlays, {FRAMES}", result.frame_count),
        false => "masks, overlays".to_owned(),
    };
    format!(
        "{}\n{}\n{late}{lines}, animation.gif and result.json are in {}\n",
        answer_table(result).render(),
        time_table(&result.times_ms).render(),
        out.display()
    )
}
