//! Arguments of `socc eval`.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand, ValueEnum};
use socc::dataset::Benchmark;

use super::{EngineArgs, Lowering, SourceArgs, WindowArgs};

/// `socc eval`, or `socc eval merge`.
pub enum EvalArgs {
    Run(Box<EvalRunArgs>),
    Sub(EvalCommand),
}

// By hand: clap's derive takes no optional set of arguments that has sets within.
impl FromArgMatches for EvalArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some(_) => EvalCommand::from_arg_matches(matches).map(Self::Sub),
            None => EvalRunArgs::from_arg_matches(matches).map(|run| Self::Run(Box::new(run))),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for EvalArgs {
    fn augment_args(command: Command) -> Command {
        let command = EvalCommand::augment_subcommands(EvalRunArgs::augment_args(command));
        command
            .subcommand_required(false)
            .arg_required_else_help(false)
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[derive(Subcommand)]
pub enum EvalCommand {
    /// Join the shards of one evaluation
    Merge(EvalMergeArgs),
}

/// The benchmarks.
#[derive(Clone, Copy, ValueEnum)]
pub enum BenchmarkName {
    /// MeViS
    Mevis,
    /// Ref-YouTube-VOS
    RefYoutubeVos,
    /// Ref-DAVIS17
    RefDavis,
    /// A2D-Sentences
    A2dSentences,
    /// JHMDB-Sentences
    JhmdbSentences,
}

impl From<BenchmarkName> for Benchmark {
    fn from(name: BenchmarkName) -> Self {
        match name {
            BenchmarkName::Mevis => Self::Mevis,
            BenchmarkName::RefYoutubeVos => Self::RefYoutubeVos,
            BenchmarkName::RefDavis => Self::RefDavis,
            BenchmarkName::A2dSentences => Self::A2dSentences,
            BenchmarkName::JhmdbSentences => Self::JhmdbSentences,
        }
    }
}

#[derive(Args)]
pub struct EvalRunArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Whose layout and protocol
    #[arg(long, value_enum, value_name = "NAME")]
    pub dataset: BenchmarkName,
    /// Folder of the data set
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// Split [default: valid; test for a2d-sentences and jhmdb-sentences]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Folder for masks, records and result.json
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub window: WindowArgs,
    /// Videos that are computed at the same time, each with its own copy of the model's weights
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: usize,
    /// Compiled clip shapes that each of them keeps
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub keep_shapes: usize,
    /// Do part I of N, counted from 1; `socc eval merge` joins them
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<(usize, usize)>,
    /// Go on with the evaluation in OUT
    #[arg(long)]
    pub resume: bool,
    /// Take the first K videos only
    #[arg(long, value_name = "K")]
    pub limit: Option<usize>,
    /// Stop at anything wrong or odd in the data set
    #[arg(long)]
    pub strict: bool,
    /// Lowering of deformable attention, where a checkpoint is compiled
    #[arg(long, value_enum, default_value = "grid-sample")]
    pub deformable: Lowering,
    /// Print result.json
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct EvalMergeArgs {
    /// Folders that `socc eval --shard` wrote, all of one evaluation
    #[arg(required = true, value_name = "SHARD")]
    pub shards: Vec<PathBuf>,
    /// Folder for the whole
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Print result.json
    #[arg(long)]
    pub json: bool,
}

/// `I/N` with 1 <= I <= N.
fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/');
    let parsed = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((part, parts)) if 1 <= part && part <= parts => Ok((part, parts)),
        _ => Err("expected I/N with I from 1 to N, as in 2/8".to_owned()),
    }
}
