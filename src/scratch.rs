//! Temporary folders and files that do not outlive the process, even one that is interrupted.
//!
//! [`remove_all`] belongs into the handler of an interrupt. What is moved into place by [`replace`] is
//! moved whole before that.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// What an interrupt removes.
static WATCHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// Held while something is moved into place.
static MOVING: Mutex<()> = Mutex::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here leaves the data half changed, so that a panic elsewhere does no harm.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has an interrupt remove a file or folder as long as this lives.
#[derive(Debug)]
pub struct Watch(PathBuf);

impl Watch {
    /// Begins to watch `path`, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        // Absolute, in case the process changes its folder.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        lock(&WATCHED).insert(path.clone());
        Self(path)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&WATCHED).remove(&self.0);
    }
}

/// A temporary folder, removed when this is dropped or the process is interrupted.
#[derive(Debug)]
pub struct Scratch {
    // The order matters: the folder goes before the watch over it ends.
    dir: TempDir,
    _watch: Watch,
}

impl Scratch {
    /// Makes a hidden folder inside `parent`, on the file system of what is to be put beside it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new_in(parent: &Path) -> io::Result<Self> {
        let mut watched = lock(&WATCHED);
        let dir = tempfile::Builder::new()
            .prefix(".socc-")
            .tempdir_in(std::path::absolute(parent)?)?;
        let path = dir.path().to_owned();
        watched.insert(path.clone());
        let _watch = Watch(path);
        Ok(Self { dir, _watch })
    }

    /// Makes a folder where the system keeps temporary files.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// One file or folder that is to take the place of another.
#[derive(Debug)]
pub struct Move {
    /// Where it is.
    pub from: PathBuf,
    /// Where it is to be.
    pub to: PathBuf,
    /// Where that which is there goes, if anything is.
    pub aside: PathBuf,
}

impl Move {
    /// Does it and tells whether something went aside.
    fn run(&self) -> io::Result<bool> {
        let old = match fs::rename(&self.to, &self.aside) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(e),
        };
        match fs::rename(&self.from, &self.to) {
            Ok(()) => Ok(old),
            Err(e) => {
                self.restore(old);
                Err(e)
            }
        }
    }

    fn restore(&self, old: bool) {
        if old {
            // Best effort: the cause is reported, not this.
            let _ = fs::rename(&self.aside, &self.to);
        }
    }
}

/// Makes all moves or none, uninterrupted. The paths of each are on one file system.
///
/// # Errors
/// The system refuses one: its place, and the reason. Everything is where it was.
pub fn replace(moves: &[Move]) -> Result<(), (PathBuf, io::Error)> {
    let _whole = lock(&MOVING);
    let mut done: Vec<(&Move, bool)> = Vec::new();
    for step in moves {
        match step.run() {
            Ok(old) => done.push((step, old)),
            Err(e) => {
                for (step, old) in done.into_iter().rev() {
                    let _ = fs::rename(&step.to, &step.from);
                    step.restore(old);
                }
                return Err((step.to.clone(), e));
            }
        }
    }
    Ok(())
}

/// Removes everything that is watched. Whoever tries to move or to watch something afterwards waits
/// for ever: the process is to end.
pub fn remove_all() {
    std::mem::forget(lock(&MOVING));
    let watched = lock(&WATCHED);
    for path in watched.iter() {
        // Another thread may still be writing into it.
        for _ in 0..50 {
            let gone = match fs::symlink_metadata(path) {
                Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).is_ok(),
                Ok(_) => fs::remove_file(path).is_ok(),
                Err(_) => true,
            };
            if gone {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    std::mem::forget(watched);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_places_are_taken_or_none() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: String| temp.path().join(name);
        let step = |n: usize| Move {
            from: path(format!("new{n}")),
            to: path(format!("place{n}")),
            aside: path(format!("old{n}")),
        };
        let read = |name: &str| fs::read_to_string(temp.path().join(name)).unwrap();
        fs::write(temp.path().join("new0"), "new").unwrap();
        fs::write(temp.path().join("place0"), "old").unwrap();
        fs::write(temp.path().join("place1"), "old").unwrap();
        let (place, _) = replace(&[step(0), step(1)]).unwrap_err();
        assert!(place.ends_with("place1"));
        assert_eq!([read("place0"), read("place1")], ["old", "old"]);
        assert_eq!(read("new0"), "new");
        fs::write(temp.path().join("new1"), "new").unwrap();
        replace(&[
            step(0),
            step(1),
            Move {
                from: path("old0".into()),
                ..step(2)
            },
        ])
        .unwrap();
        assert_eq!([read("place0"), read("place1")], ["new", "new"]);
        assert_eq!([read("place2"), read("old1")], ["old", "old"]);
    }
}
