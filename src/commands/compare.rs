//! `socc compare`.

use std::process::ExitCode;

use socc::bench::Report;
use socc::bench::compare::{Comparison, Verdict, compare};
use socc::bench::units::{duration, percent};

use super::table::Table;
use super::{DIFFERENT, print, print_json};
use crate::args::CompareArgs;

pub fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let (base, new) = (Report::read(&args.base)?, Report::read(&args.new)?);
    let comparison = compare(&base, &new, args.fail_over.0, args.force)?;
    if args.json {
        print_json(&comparison)?;
    } else {
        print(&text(&comparison))?;
    }
    Ok(match comparison.regressed() {
        true => ExitCode::from(DIFFERENT),
        false => ExitCode::SUCCESS,
    })
}

fn text(comparison: &Comparison) -> String {
    let mut table = Table::new(&["stage", ">base", ">new", ">ratio", ">95 % interval", ""]);
    for row in &comparison.rows {
        let ratio = row.ratio;
        let verdict = match row.verdict {
            Verdict::Slower => "SLOWER",
            Verdict::Faster => "faster",
            Verdict::Same => "",
        };
        table.row([
            row.name.clone(),
            duration(row.base_p50_ms),
            duration(row.new_p50_ms),
            format!("{:.3}", ratio.value),
            format!("{:.3} to {:.3}", ratio.low, ratio.high),
            verdict.to_owned(),
        ]);
    }
    let mut out = table.render();
    for note in &comparison.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    let limit = percent(comparison.fail_over);
    out.push_str(&match comparison.regressed() {
        true => format!("regression: slower by more than {limit} with 95 % confidence\n"),
        false => format!("no regression beyond {limit}\n"),
    });
    out
}
