//! The folder that results go to, and the hidden one where they are made.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{ANIMATION, Delivery, FRAMES, MASKS, NAMES, OVERLAYS, RESULT};
use crate::host::output::{create_dir, write_file};
use crate::host::{HostError, Result};
use crate::scratch::{self, Move, Scratch};

/// Most of a file's first line that is looked at.
const LINE_BYTES: u64 = 1 << 20;

/// A result folder in the making.
pub(super) struct Place {
    out: PathBuf,
    delivery: Delivery,
    scratch: Scratch,
}

impl Place {
    /// Makes a hidden folder, inside `out` if that is there, else beside it.
    ///
    /// # Errors
    /// `out` cannot be written, or holds files of the same names that are no results.
    pub(super) fn begin(out: &Path, delivery: Delivery) -> Result<Self> {
        let place = match fs::symlink_metadata(out) {
            Ok(_) => out,
            Err(_) => out
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new(".")),
        };
        check(out)?;
        create_dir(place)?;
        let scratch = Scratch::new_in(place).map_err(|source| HostError::Write {
            path: place.to_owned(),
            source,
        })?;
        let place = Self {
            out: out.to_owned(),
            delivery,
            scratch,
        };
        create_dir(&place.aside())?;
        Ok(place)
    }

    pub(super) fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Where the results are until they are whole.
    fn making(&self) -> PathBuf {
        self.scratch.path().join("new")
    }

    /// Where those of an earlier run go.
    fn aside(&self) -> PathBuf {
        self.scratch.path().join("old")
    }

    /// Makes the folders of the expressions. Of frames that are delivered as they come, a file tells, which begins
    /// with `header`, and what an earlier run left in OUT is removed.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn open(&self, expressions: usize, header: &str) -> Result<()> {
        self.make_folders(expressions)?;
        if self.delivery == Delivery::AsTheyCome {
            create_dir(&self.out)?;
            let told = self.making().join(FRAMES);
            write_file(&told, |out| out.write_all(header.as_bytes()))?;
            // The header marks the folder as ours; only then does the old mark go.
            self.deliver(&[FRAMES, MASKS, OVERLAYS])?;
            self.remove(&[RESULT, ANIMATION])?;
            self.make_folders(expressions)?;
        }
        Ok(())
    }

    fn make_folders(&self, expressions: usize) -> Result<()> {
        for kind in [MASKS, OVERLAYS] {
            for k in 0..expressions {
                create_dir(&self.making().join(kind).join(k.to_string()))?;
            }
        }
        Ok(())
    }

    /// Where a file of the result can be read.
    pub(super) fn path(&self, file: &Path) -> PathBuf {
        match self.delivery {
            Delivery::Whole => self.making().join(file),
            Delivery::AsTheyCome => self.out.join(file),
        }
    }

    /// Has `write` write a file of the result, and delivers it if it is not to wait.
    ///
    /// # Errors
    /// The system refuses, or `write` does.
    pub(super) fn put(&self, file: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        write(&self.making().join(file))?;
        match self.delivery {
            Delivery::Whole => Ok(()),
            Delivery::AsTheyCome => self.replace(&[self.step(file)]),
        }
    }

    /// Writes [`RESULT`] and delivers what was not delivered yet.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn finish(self, result: &impl Serialize) -> Result<()> {
        self.put(Path::new(RESULT), |path| {
            write_file(path, |out| {
                serde_json::to_writer_pretty(out, result).map_err(Into::into)
            })
        })?;
        match self.delivery {
            Delivery::AsTheyCome => Ok(()),
            Delivery::Whole if self.out.exists() => {
                self.deliver(&NAMES)?;
                self.remove(&[FRAMES])
            }
            Delivery::Whole => self.replace(&[Move {
                from: self.making(),
                to: self.out.clone(),
                aside: self.aside().join("none"),
            }]),
        }
    }

    fn deliver(&self, names: &[&str]) -> Result<()> {
        let steps = names.iter().map(|name| self.step(name.as_ref()));
        self.replace(&steps.collect::<Vec<_>>())
    }

    fn step(&self, file: &Path) -> Move {
        Move {
            from: self.making().join(file),
            to: self.out.join(file),
            aside: self.aside().join(file),
        }
    }

    fn replace(&self, moves: &[Move]) -> Result<()> {
        scratch::replace(moves).map_err(|(path, source)| HostError::Write { path, source })
    }

    /// Puts what an earlier run left aside.
    fn remove(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let path = self.out.join(name);
            match fs::rename(&path, self.aside().join(name)) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(HostError::Write { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Refuses a folder with files that results would replace, unless an earlier run left them.
fn check(out: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Marks {
        #[serde(rename = "socc")]
        _socc: String,
        #[serde(rename = "expressions")]
        _expressions: Vec<IgnoredAny>,
    }
    let mut names = NAMES.into_iter().chain([FRAMES]);
    let Some(name) = names.find(|name| out.join(name).exists()) else {
        return Ok(());
    };
    let marked = |json: &[u8]| serde_json::from_slice::<Marks>(json).is_ok();
    let ours = fs::read(out.join(RESULT)).is_ok_and(|json| marked(&json))
        || first_line(&out.join(FRAMES)).is_ok_and(|json| marked(&json));
    match ours {
        true => Ok(()),
        false => Err(HostError::Foreign {
            path: out.join(name),
        }),
    }
}

fn first_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let file = BufReader::new(File::open(path)?);
    file.take(LINE_BYTES).read_until(b'\n', &mut line)?;
    Ok(line)
}
