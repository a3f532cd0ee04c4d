//! The files that `socc calibrate` writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use socc::scratch::{self, Move, Scratch};
use socc_calibration::state::State;
use socc_calibration::table::{RangeTable, TableError};

use crate::args::CalibrateArgs;

/// The table, and the state beside it.
pub struct Files {
    table: PathBuf,
    state: PathBuf,
    folder: PathBuf,
}

impl Files {
    /// Refuses what could only fail at the end.
    pub fn new(args: &CalibrateArgs) -> anyhow::Result<Self> {
        let table = &args.output;
        if table.exists()
            && let Err(error) = RangeTable::read(table)
            && !matches!(error, TableError::Newer { .. })
        {
            bail!(
                "{} is there already and is no range table; name another file with -o",
                table.display()
            );
        }
        let folder = table.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        if !folder.is_dir() {
            bail!("{} is no folder; create it first", folder.display());
        }
        let mut state = table.clone().into_os_string();
        state.push(".partial");
        let files = Self {
            table: table.clone(),
            state: state.into(),
            folder: folder.to_owned(),
        };
        drop(files.scratch()?);
        Ok(files)
    }

    fn scratch(&self) -> anyhow::Result<Scratch> {
        Scratch::new_in(&self.folder)
            .map_err(|e| anyhow!("cannot write in {}: {e}", self.folder.display()))
    }

    /// Where the calibration begins.
    pub fn begin(&self, begun: State, resume: bool) -> anyhow::Result<State> {
        if resume {
            return Ok(begun.resume(&self.state)?);
        }
        if self.state.exists() {
            bail!(
                "{} holds an interrupted calibration; pass --resume to go on from it, or delete it",
                self.state.display()
            );
        }
        Ok(begun)
    }

    /// Keeps what was observed so far.
    pub fn keep(&self, state: &State) -> anyhow::Result<()> {
        self.place(&self.state, |path| state.write(path))
    }

    /// Writes the table, which makes the state needless.
    pub fn finish(&self, table: &RangeTable) -> anyhow::Result<()> {
        self.place(&self.table, |path| table.write(path))?;
        match fs::remove_file(&self.state) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                bail!("cannot delete {}: {e}", self.state.display())
            }
            _ => Ok(()),
        }
    }

    /// Writes a file elsewhere and moves it to `to`, so that an interrupt leaves nothing half-written.
    fn place(
        &self,
        to: &Path,
        write: impl FnOnce(&Path) -> Result<(), TableError>,
    ) -> anyhow::Result<()> {
        let scratch = self.scratch()?;
        let step = Move {
            from: scratch.path().join("new"),
            to: to.to_owned(),
            aside: scratch.path().join("old"),
        };
        write(&step.from)?;
        scratch::replace(&[step])
            .map_err(|(path, e)| anyhow!("cannot write {}: {e}", path.display()))
    }
}
