//! `socc doctor`.

use std::process::ExitCode;

use serde::Serialize;
use socc_engines::available;

use super::table::Table;
use super::{print, print_json};
use crate::args::DoctorArgs;

#[derive(Serialize)]
struct Line {
    name: &'static str,
    present: bool,
    version: Option<String>,
    detail: String,
    install: Option<String>,
}

pub fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let engines: Vec<Line> = available()
        .into_iter()
        .map(|status| Line {
            name: status.name,
            present: status.present,
            version: status.version,
            detail: status.detail,
            install: status.install,
        })
        .collect();
    if args.json {
        print_json(&engines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["engine", "present", "version", "what"]);
    for line in engines {
        let present = if line.present { "yes" } else { "no" };
        let what = match line.install {
            Some(install) => format!("{}; {install}", line.detail),
            None => line.detail,
        };
        let version = line.version.unwrap_or_else(|| "-".to_owned());
        table.row([line.name.to_owned(), present.to_owned(), version, what]);
    }
    print(&table.render())?;
    Ok(ExitCode::SUCCESS)
}
