//! A2D-Sentences and JHMDB-Sentences: single annotated frames in the middle of a window.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{DatasetError, Result};

/// Frames around an annotated one, it included (`window_size` of the official data sets).
pub const WINDOW: usize = 8;

/// Where an annotated frame lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Folder of the video's pictures, or its file.
    pub video: PathBuf,
    /// File with the annotation.
    pub annotation: PathBuf,
    /// The frame, counted from 1.
    pub frame: usize,
}

/// Frames of the window around `frame`, counted from 1: it is at index `WINDOW / 2`, and edge frames
/// repeat beyond the ends of a video of `total` frames.
pub(super) fn window(frame: usize, total: usize) -> Vec<usize> {
    let place = |i: usize| frame.saturating_add(i).saturating_sub(WINDOW / 2);
    (0..WINDOW)
        .map(|i| place(i).clamp(1, total.max(1)))
        .collect()
}

/// Rows of a CSV file.
pub(super) fn rows<T: DeserializeOwned>(
    path: &Path,
    headers: bool,
    expected: &'static str,
) -> Result<Vec<T>> {
    let file = open(path, expected)?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(headers)
        .flexible(true)
        .from_reader(file);
    let rows = reader.deserialize().collect::<std::result::Result<_, _>>();
    rows.map_err(|e| DatasetError::Damaged {
        path: path.to_owned(),
        reason: format!("{e}; {expected}"),
    })
}

pub(super) fn open(path: &Path, expected: &'static str) -> Result<File> {
    File::open(path).map_err(|source| DatasetError::Read {
        path: path.to_owned(),
        source,
        expected,
    })
}

/// Subfolders of the subfolders of `folder`, by name.
pub(super) fn grandchildren(
    folder: &Path,
    expected: &'static str,
) -> Result<BTreeMap<String, PathBuf>> {
    let list = |path: &Path| -> Result<Vec<PathBuf>> {
        let fail = |source| DatasetError::Read {
            path: path.to_owned(),
            source,
            expected,
        };
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.is_dir() {
                entries.push(path);
            }
        }
        entries.sort();
        Ok(entries)
    };
    let mut found = BTreeMap::new();
    for class in list(folder)? {
        for path in list(&class)? {
            if let Some(name) = path.file_name().and_then(|n| n.to_str()) {
                found.insert(name.to_owned(), path.clone());
            }
        }
    }
    Ok(found)
}

/// Videos of an A2D split: listed in `Release/videoset.csv` with 0 for training and 1 for testing, less
/// those in `text_annotations/a2d_missed_videos.txt`.
pub(super) fn a2d_videos(root: &Path, test: bool) -> Result<BTreeSet<String>> {
    let path = root.join("Release/videoset.csv");
    let rows: Vec<Vec<String>> = rows(
        &path,
        false,
        "it lists videos, with 0 or 1 in the ninth column",
    )?;
    let wanted = if test { "1" } else { "0" };
    let missed = root.join("text_annotations/a2d_missed_videos.txt");
    let missed = fs::read_to_string(&missed).map_err(|source| DatasetError::Read {
        path: missed,
        source,
        expected: "it lists the videos to leave out",
    })?;
    let missed: BTreeSet<&str> = missed.lines().map(str::trim).collect();
    let in_split = |row: &&Vec<String>| row.get(8).is_some_and(|s| s.trim() == wanted);
    let names = rows.iter().filter(in_split).filter_map(|row| row.first());
    Ok(names
        .filter(|n| !missed.contains(n.as_str()))
        .cloned()
        .collect())
}

/// A row of `a2d_annotation.txt`.
#[derive(Deserialize)]
pub(super) struct A2dRow {
    pub video_id: String,
    pub instance_id: String,
    pub query: String,
}

/// A row of `jhmdb_annotation.txt`, whose headings have varied.
pub(super) type JhmdbRow = (String, String);
