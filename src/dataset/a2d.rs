//! A2D-Sentences: `Release/videoset.csv`, `Release/clips320H/VIDEO.mp4` (or a folder of pictures),
//! `text_annotations/a2d_annotation.txt` and `text_annotations/a2d_annotation_with_instances/VIDEO/FRAME.h5`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hdf5_reader::Hdf5File;
use image::GrayImage;

use super::expressions::note_text;
use super::windows::{A2dRow, Place, WINDOW, a2d_videos, rows, window};
use super::{
    DatasetError, Expression, Finding, FindingKind, Findings, Result, Truth, Video, frames,
};
use crate::host::tokenizer::normalise_expression;

/// Lists the annotated frames of a split, each with the expressions of the instances in it.
pub(super) fn list(
    root: &Path,
    split: &str,
    findings: &mut Findings,
) -> Result<(Vec<Video>, BTreeMap<String, Place>)> {
    let used = a2d_videos(root, split == "test")?;
    let path = root.join("text_annotations/a2d_annotation.txt");
    let all: Vec<A2dRow> = rows(
        &path,
        true,
        "it has the columns video_id, instance_id, query",
    )?;
    let mut by_video: BTreeMap<String, Vec<A2dRow>> = BTreeMap::new();
    for row in all {
        // The official code leaves this slip of the data set out.
        if used.contains(&row.video_id) && row.instance_id != "1 (copy)" {
            by_video.entry(row.video_id.clone()).or_default().push(row);
        }
    }
    let mut videos = Vec::new();
    let mut places = BTreeMap::new();
    for (id, rows) in by_video {
        let folder = root
            .join("text_annotations/a2d_annotation_with_instances")
            .join(&id);
        for (frame, annotation) in annotations(&id, &folder, findings)? {
            let instances = match instances(&annotation) {
                Ok(instances) => instances,
                Err(e) => {
                    let kind = FindingKind::UnreadableAnnotation;
                    findings.note(Finding::new(kind, &id, e.to_string()))?;
                    continue;
                }
            };
            let name = format!("v_{id}_f_{frame}");
            let mut expressions: Vec<Expression> = Vec::new();
            for row in &rows {
                let number = row.instance_id.trim().parse::<i64>();
                let Some(number) = number.ok().filter(|n| instances.contains(n)) else {
                    continue;
                };
                let text = normalise_expression(&row.query);
                let same = expressions.iter().filter(|e| e.objects == [number as u32]);
                let expression = match same.count() {
                    0 => number.to_string(),
                    n => format!("{number}_{n}"),
                };
                note_text(&name, &expression, &text, &expressions, findings)?;
                expressions.push(Expression {
                    id: expression,
                    text,
                    objects: vec![number as u32],
                    masks: Vec::new(),
                });
            }
            if expressions.is_empty() {
                continue;
            }
            let video = root.join("Release/clips320H").join(&id);
            // The length of a file is known after decoding only: names of its last window may lie beyond the end.
            let total = frames::names(&video).map_or(usize::MAX, |names| names.len());
            videos.push(Video {
                name: name.clone(),
                frames: window(frame, total)
                    .iter()
                    .map(|i| format!("{i:05}"))
                    .collect(),
                expressions,
                annotated: Some(WINDOW / 2),
            });
            let place = Place {
                video,
                annotation,
                frame,
            };
            places.insert(name, place);
        }
    }
    Ok((videos, places))
}

/// Annotation files of a video by frame number, counted from 1.
fn annotations(
    video: &str,
    folder: &Path,
    findings: &mut Findings,
) -> Result<BTreeMap<usize, PathBuf>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else {
        let detail = format!("{} is missing", folder.display());
        findings.note(Finding::new(FindingKind::MissingAnnotation, video, detail))?;
        return Ok(found);
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let number = path.file_stem().and_then(|s| s.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|e| e == "h5")) {
            found.insert(number, path);
        }
    }
    Ok(found)
}

fn damaged(path: &Path, reason: impl ToString) -> DatasetError {
    DatasetError::Damaged {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Instance numbers of an annotation, in the order of its masks.
fn instances(path: &Path) -> Result<Vec<i64>> {
    let read = || -> std::result::Result<Vec<i64>, hdf5_reader::error::Error> {
        let file = Hdf5File::open(path)?;
        let dataset = file.dataset("/instance")?;
        let values = dataset.read_array::<f64>().map(|a| a.mapv(|v| v as i64));
        let values = values
            .or_else(|_| dataset.read_array::<u8>().map(|a| a.mapv(i64::from)))
            .or_else(|_| dataset.read_array::<i32>().map(|a| a.mapv(i64::from)))
            .or_else(|_| dataset.read_array::<u16>().map(|a| a.mapv(i64::from)))
            .or_else(|_| dataset.read_array::<i64>())?;
        Ok(values.into_iter().collect())
    };
    read().map_err(|e| damaged(path, e))
}

/// Masks (0 or 255) of the expressions' instances.
pub(super) fn truth(video: &Video, place: &Place) -> Result<Truth> {
    let path = &place.annotation;
    let numbers = instances(path)?;
    let read = || -> std::result::Result<(Vec<u64>, Vec<u8>), hdf5_reader::error::Error> {
        let file = Hdf5File::open(path)?;
        let dataset = file.dataset("/reMask")?;
        let set = |array: ndarray::ArrayD<f64>| array.mapv(|v| u8::from(v != 0.0));
        let masks = dataset
            .read_array::<u8>()
            .or_else(|_| dataset.read_array::<f64>().map(set))?;
        Ok((dataset.shape().to_vec(), masks.into_iter().collect()))
    };
    let (shape, values) = read().map_err(|e| damaged(path, e))?;
    // Stored by MATLAB: the columns of the picture are the rows of the array.
    let (count, width, height) = match shape[..] {
        [w, h] => (1, w as usize, h as usize),
        [n, w, h] => (n as usize, w as usize, h as usize),
        _ => return Err(damaged(path, format!("reMask has the shape {shape:?}"))),
    };
    if count != numbers.len() || width == 0 || height == 0 {
        let reason = format!(
            "reMask has the shape {shape:?} for {} instances",
            numbers.len()
        );
        return Err(damaged(path, reason));
    }
    let mut masks = BTreeMap::new();
    for expression in &video.expressions {
        let wanted = |n: &i64| {
            expression
                .objects
                .first()
                .is_some_and(|o| i64::from(*o) == *n)
        };
        let Some(index) = numbers.iter().position(wanted) else {
            continue;
        };
        let plane = &values[index * width * height..][..width * height];
        let mask = GrayImage::from_fn(width as u32, height as u32, |x, y| {
            let value = plane[x as usize * height + y as usize];
            image::Luma([if value > 0 { 255 } else { 0 }])
        });
        masks.insert(expression.id.clone(), mask);
    }
    Ok(Truth::single(WINDOW / 2, masks))
}
