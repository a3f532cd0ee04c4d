//! `socc sensitivity`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use sha2::{Digest, Sha256};
use socc::bundle::Bundle;
use socc::dataset::Dataset;
use socc::evaluate::{SizeRule, Texts};
use socc::sensitivity::{
    Clips, Found, Group, Loss, Measure, Scored, Settings, StageGraphs, State, search,
};
use socc::source::Source;
use socc_calibration::plan::{FORMAT_VERSION, PrecisionPlan, StagePlan};
use socc_calibration::precision::Precision;
use socc_calibration::table::RangeTable;
use socc_engines::Engine;
use socc_exporter::digest::hex;
use socc_exporter::model::STAGES;

use super::table::Table;
use super::{print, print_json};
use crate::args::SensitivityArgs;
use crate::progress;

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    plan: &'a PrecisionPlan,
    groups: &'a [Scored],
}

pub fn sensitivity(args: &SensitivityArgs) -> anyhow::Result<ExitCode> {
    check(args)?;
    let source = Source::open(&args.bundle, None, args.tokenizer.as_deref())?;
    let Source::Bundle { bundle, .. } = &source else {
        bail!(
            "{} is no bundle; run `socc export` first",
            args.bundle.display()
        );
    };
    source.check_whole_clips()?;
    if bundle.manifest.precision != Precision::Fp32.name() {
        bail!(
            "{} is {} already; give the float32 bundle",
            args.bundle.display(),
            bundle.manifest.precision
        );
    }
    let ranges = args.ranges.as_deref().map(RangeTable::read).transpose()?;
    if let Some(ranges) = &ranges {
        ranges.check_checkpoint(&bundle.manifest.checkpoint.fingerprint)?;
    }
    let engine = args.engine.open()?;
    check_engine(args, engine.as_ref())?;
    let dataset = Dataset::open(&args.data, &args.split)?;
    let ranges_hash = ranges.as_ref().map(hash).transpose()?;
    let graphs = StageGraphs::read(bundle, args.precision, ranges)?;
    let groups = groups(args, &graphs)?;
    let clips = args.clips.unwrap_or(usize::MAX).min(dataset.videos.len());
    let settings = settings(args, bundle, &graphs, ranges_hash, engine.as_ref(), clips);
    let mut search = Search::begin(args, settings, groups)?;
    let request = bundle.manifest.request();
    let bar = progress::steps(STAGES.len(), "compiling stages");
    let pipeline = source.compile(engine, &request, &mut |_| bar.inc(1))?;
    bar.finish_and_clear();
    let texts = Texts::new(source.tokenizer()?, source.facts().max_tokens);
    let clips = Clips {
        dataset: &dataset,
        clips,
        rule: SizeRule::Fixed {
            height: request.height,
            width: request.width,
        },
    };
    let mut measure = Measure::new(&graphs, clips, pipeline, texts);
    search.score(&mut measure, &graphs)?;
    let found = search.find(&mut measure, args.budget)?;
    let plan = plan(args, bundle, &graphs, &search, &found);
    plan.write(&args.output)?;
    // What it held is in the plan now.
    let _ = fs::remove_file(&search.path);
    if args.json {
        let groups = &search.state.scored;
        print_json(&Output {
            plan: &plan,
            groups,
        })?;
    } else {
        print(&text(args, &search.state.scored, &found))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(args: &SensitivityArgs) -> anyhow::Result<()> {
    if !args.budget.is_finite() || args.budget < 0.0 {
        bail!("--budget is {}; give J&F points, 0 or more", args.budget);
    }
    if args.clips == Some(0) {
        bail!("--clips is 0; J&F needs at least one clip");
    }
    if args.precision == Precision::Fp32 {
        bail!("--precision is fp32, which loses nothing; give fp16, int8 or int8-fp16");
    }
    if args.precision.is_quantized() && args.ranges.is_none() {
        bail!(
            "{} needs measured ranges; run `socc calibrate` and pass its table with --ranges",
            args.precision
        );
    }
    let known = |name: &&String| STAGES.iter().any(|(stage, _)| stage == name);
    if let Some(unknown) = args.stages.iter().find(|name| !known(name)) {
        let known = STAGES.map(|(stage, _)| stage).join(", ");
        bail!("there is no stage `{unknown}`; the stages are {known}");
    }
    Ok(())
}

fn check_engine(args: &SensitivityArgs, engine: &dyn Engine) -> anyhow::Result<()> {
    if args.precision.is_half() && !engine.rounds_to_half() {
        bail!(
            "engine `{}` widens float16 to float32, so that nothing would seem to be lost; take --engine onnxruntime or \
             tract",
            engine.name()
        );
    }
    Ok(())
}

fn groups(args: &SensitivityArgs, graphs: &StageGraphs) -> anyhow::Result<Vec<Group>> {
    let wanted = |stage: &str| args.stages.is_empty() || args.stages.iter().any(|s| s == stage);
    let groups = graphs.groups(&wanted)?;
    if groups.is_empty() {
        let precision = args.precision.to_string();
        return Err(socc::sensitivity::SensitivityError::Nothing { precision }.into());
    }
    Ok(groups)
}

/// SHA-256 of a range table, however its file is laid out.
fn hash(table: &RangeTable) -> anyhow::Result<String> {
    Ok(hex(&Sha256::digest(serde_json::to_vec(table)?)))
}

fn settings(
    args: &SensitivityArgs,
    bundle: &Bundle,
    graphs: &StageGraphs,
    ranges: Option<String>,
    engine: &dyn Engine,
    clips: usize,
) -> Settings {
    let data = std::path::absolute(&args.data).unwrap_or_else(|_| args.data.clone());
    Settings {
        checkpoint: bundle.manifest.checkpoint.fingerprint.clone(),
        graphs: (0..graphs.names().count())
            .map(|i| graphs.hash(i).to_owned())
            .collect(),
        precision: args.precision,
        ranges,
        stages: args.stages.clone(),
        data: data.display().to_string(),
        split: args.split.clone(),
        clips,
        engine: format!("{} {}", engine.name(), engine.version()),
    }
}

/// A search under way: its groups, what was measured, and the file that keeps it.
struct Search {
    path: PathBuf,
    state: State,
    groups: Vec<Group>,
}

impl Search {
    fn begin(
        args: &SensitivityArgs,
        settings: Settings,
        groups: Vec<Group>,
    ) -> anyhow::Result<Self> {
        let path = partial(&args.output);
        let mut state = State::new(settings);
        if args.resume && path.exists() {
            let earlier = State::read(&path)?;
            if earlier.settings != state.settings {
                bail!(
                    "{} was left by a search with another bundle, data, engine or precision; drop --resume to begin anew",
                    path.display()
                );
            }
            state = earlier;
        }
        // Whether the place can be written is better known now than after hours.
        state.write(&path)?;
        Ok(Self {
            path,
            state,
            groups,
        })
    }

    /// Scores every group alone.
    fn score(&mut self, measure: &mut Measure, graphs: &StageGraphs) -> anyhow::Result<()> {
        let batches: Vec<&[Group]> = Measure::batches(&self.groups).collect();
        let bar = progress::steps(batches.len() * measure.clips(), "scoring groups alone");
        let mut done = 0;
        for batch in batches {
            done += batch.len();
            if done <= self.state.scored.len() {
                bar.inc(measure.clips() as u64);
                continue;
            }
            let losses = measure.alone(batch, &mut || bar.inc(1))?;
            let scored = batch.iter().zip(losses).map(|(group, loss)| Scored {
                stage: graphs.name(group.stage).to_owned(),
                group: group.name.clone(),
                nodes: group.nodes,
                loss,
            });
            self.state.scored.extend(scored);
            self.state.write(&self.path)?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Finds the largest set that the budget bears.
    fn find(&mut self, measure: &mut Measure, budget: f64) -> anyhow::Result<Found> {
        let bar = progress::steps(0, "measuring sets of groups");
        let (state, groups, path) = (&mut self.state, &self.groups, &self.path);
        let scored = state.scored.clone();
        let found = search(&scored, budget, &mut |set| {
            if let Some(known) = state.set(set) {
                return Ok(known);
            }
            bar.inc_length(measure.clips() as u64);
            let groups: Vec<&Group> = set.iter().map(|i| &groups[*i]).collect();
            let loss = measure.together(&groups, &mut || bar.inc(1))?;
            state.sets.push((set.to_vec(), loss));
            state.write(path)?;
            Ok(loss)
        })?;
        bar.finish_and_clear();
        Ok(found)
    }
}

fn partial(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn plan(
    args: &SensitivityArgs,
    bundle: &Bundle,
    graphs: &StageGraphs,
    search: &Search,
    found: &Found,
) -> PrecisionPlan {
    let mut stages = BTreeMap::new();
    for (number, group) in search.groups.iter().enumerate() {
        let entry = stages
            .entry(graphs.name(group.stage).to_owned())
            .or_insert_with(|| StagePlan {
                graph: graphs.hash(group.stage).to_owned(),
                precision: args.precision,
                keep: Vec::new(),
            });
        if !found.low.contains(&number) {
            entry.keep.push(group.name.clone());
        }
    }
    PrecisionPlan {
        format_version: FORMAT_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        checkpoint: bundle.manifest.checkpoint.fingerprint.clone(),
        budget_points: args.budget,
        cost_points: found.loss.jf_points,
        stages,
    }
}

fn text(args: &SensitivityArgs, scored: &[Scored], found: &Found) -> String {
    let headers = [
        "stage",
        "group",
        ">nodes",
        ">mask change",
        ">J&F points lost",
        "plan",
    ];
    let mut table = Table::new(&headers);
    for (number, group) in scored.iter().enumerate() {
        let Loss {
            jf_points,
            mask_change,
        } = group.loss;
        let lowered = found.low.contains(&number);
        let precision = if lowered {
            args.precision
        } else {
            Precision::Fp32
        };
        table.row([
            group.stage.clone(),
            group.group.clone(),
            group.nodes.to_string(),
            format!("{mask_change:.5}"),
            format!("{jf_points:+.3}"),
            precision.to_string(),
        ]);
    }
    format!(
        "{}\n{} of {} groups in {} lose {:+.3} J&F points together (budget {}); the plan is {}\n",
        table.render(),
        found.low.len(),
        scored.len(),
        args.precision,
        found.loss.jf_points,
        args.budget,
        args.output.display()
    )
}
