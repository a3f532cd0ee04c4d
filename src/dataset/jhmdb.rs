//! JHMDB-Sentences: `jhmdb_annotation.txt`, `Rename_Images/CLASS/VIDEO/FRAME.png` and
//! `puppet_mask/CLASS/VIDEO/puppet_mask.mat`.

use std::collections::BTreeMap;
use std::path::Path;

use image::GrayImage;
use matfile::{MatFile, NumericData};

use super::expressions::note_text;
use super::windows::{JhmdbRow, Place, WINDOW, grandchildren, open, rows, window};
use super::{
    DatasetError, Expression, Finding, FindingKind, Findings, Result, Truth, Video, frames,
};
use crate::host::tokenizer::normalise_expression;

/// The official code draws three frames of each video by chance and keeps them in this file, which
/// comes with it: video, frame's file, masks' file, frames in all, sentence.
const SAMPLES: &str = "jhmdb_sentences_samples_metadata_new.json";
/// Frames of each video, where that file is not there.
const PER_VIDEO: usize = 3;

type Sample = (String, String, String, usize, String);

/// Lists the annotated frames, each with its sentences.
pub(super) fn list(
    root: &Path,
    findings: &mut Findings,
) -> Result<(Vec<Video>, BTreeMap<String, Place>)> {
    let pictures = grandchildren(
        &root.join("Rename_Images"),
        "it holds CLASS/VIDEO/FRAME.png",
    )?;
    let masks = grandchildren(
        &root.join("puppet_mask"),
        "it holds CLASS/VIDEO/puppet_mask.mat",
    )?;
    let mut samples: BTreeMap<(String, usize), Vec<String>> = BTreeMap::new();
    for (id, frame, text) in chosen(root, &pictures, &masks, findings)? {
        samples.entry((id, frame)).or_default().push(text);
    }
    let (mut videos, mut places) = (Vec::new(), BTreeMap::new());
    for ((id, frame), texts) in samples {
        let (Some(folder), Some(annotation)) = (pictures.get(&id), masks.get(&id)) else {
            let detail = "it has no pictures or no masks".to_owned();
            findings.note(Finding::new(FindingKind::UnusableVideo, &id, detail))?;
            continue;
        };
        let annotation = annotation.join("puppet_mask.mat");
        let name = format!("v_{id}_f_{frame}");
        let mut expressions: Vec<Expression> = Vec::new();
        for (n, text) in texts.iter().enumerate() {
            let text = normalise_expression(text);
            note_text(&name, &n.to_string(), &text, &expressions, findings)?;
            expressions.push(Expression {
                id: n.to_string(),
                text,
                objects: vec![1],
                masks: Vec::new(),
            });
        }
        let total = usable(&annotation, folder).unwrap_or(frame);
        videos.push(Video {
            name: name.clone(),
            frames: window(frame, total)
                .iter()
                .map(|i| format!("{i:05}"))
                .collect(),
            expressions,
            annotated: Some(WINDOW / 2),
        });
        let video = folder.clone();
        places.insert(
            name,
            Place {
                video,
                annotation,
                frame,
            },
        );
    }
    Ok((videos, places))
}

/// Video, frame and sentence of every sample.
fn chosen(
    root: &Path,
    pictures: &BTreeMap<String, std::path::PathBuf>,
    masks: &BTreeMap<String, std::path::PathBuf>,
    findings: &mut Findings,
) -> Result<Vec<(String, usize, String)>> {
    let path = root.join(SAMPLES);
    if path.is_file() {
        let file = open(&path, "it lists the official samples")?;
        let samples: Vec<Sample> = serde_json::from_reader(std::io::BufReader::new(file))
            .map_err(|e| damaged(&path, e))?;
        let number = |file: &str| -> Option<usize> {
            let name = file.rsplit(['/', '\\']).next()?;
            name.split('.').next()?.parse().ok()
        };
        let parsed = samples.into_iter().map(|(id, file, _, _, text)| {
            let frame =
                number(&file).ok_or_else(|| damaged(&path, format!("{file} is no frame")))?;
            Ok((id, frame, text))
        });
        return parsed.collect();
    }
    let path = root.join("jhmdb_annotation.txt");
    let rows: Vec<JhmdbRow> = rows(&path, true, "it has the columns video_id, description")?;
    let detail = format!(
        "{SAMPLES} of the official repository is not in {}: the first, middle and last frame of each video are \
         taken in place of the official ones, and scores are not comparable",
        root.display()
    );
    findings.note(Finding::new(FindingKind::MissingFrame, "*", detail))?;
    let mut all = Vec::new();
    for (id, text) in rows {
        let (Some(folder), Some(mask)) = (pictures.get(&id), masks.get(&id)) else {
            let detail = "it has no pictures or no masks".to_owned();
            findings.note(Finding::new(FindingKind::UnusableVideo, &id, detail))?;
            continue;
        };
        let total = usable(&mask.join("puppet_mask.mat"), folder)?;
        let mut frames: Vec<usize> = (0..PER_VIDEO)
            .map(|i| 1 + i * total.saturating_sub(1) / (PER_VIDEO - 1))
            .collect();
        frames.dedup();
        all.extend(
            frames
                .into_iter()
                .map(|frame| (id.clone(), frame, text.clone())),
        );
    }
    Ok(all)
}

fn damaged(path: &Path, reason: impl ToString) -> DatasetError {
    DatasetError::Damaged {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Frames that have a picture and a mask.
fn usable(annotation: &Path, pictures: &Path) -> Result<usize> {
    let names = frames::names(pictures).map_err(|source| DatasetError::Read {
        path: pictures.to_owned(),
        source,
        expected: "it holds the frames of a video",
    })?;
    let (_, _, frames, _) = part_masks(annotation)?;
    Ok(names.len().min(frames))
}

/// Height, width, frames, and the parts' labels: rows fastest, frames slowest.
fn part_masks(path: &Path) -> Result<(usize, usize, usize, Vec<u8>)> {
    let file = open(path, "it holds the masks of a video")?;
    let file = MatFile::parse(file).map_err(|e| damaged(path, e))?;
    let array = file
        .find_by_name("part_mask")
        .ok_or_else(|| damaged(path, "it has no numbers called part_mask"))?;
    let labels: Vec<u8> = match array.data() {
        NumericData::UInt8 { real, .. } => real.clone(),
        NumericData::Double { real, .. } => real.iter().map(|v| *v as u8).collect(),
        _ => return Err(damaged(path, "part_mask holds neither bytes nor doubles")),
    };
    let (h, w, frames) = match array.size()[..] {
        [h, w] => (h, w, 1),
        [h, w, frames] => (h, w, frames),
        _ => {
            return Err(damaged(
                path,
                format!("part_mask has the shape {:?}", array.size()),
            ));
        }
    };
    if labels.len() != h * w * frames || labels.is_empty() {
        return Err(damaged(path, "part_mask is cut off"));
    }
    Ok((h, w, frames, labels))
}

/// The mask (0 or 255) of the annotated frame, for every expression.
pub(super) fn truth(video: &Video, place: &Place) -> Result<Truth> {
    let path = &place.annotation;
    let (h, w, frames, labels) = part_masks(path)?;
    if place.frame == 0 || place.frame > frames {
        let reason = format!("it has {frames} masks, none for frame {}", place.frame);
        return Err(damaged(path, reason));
    }
    let plane = &labels[(place.frame - 1) * h * w..][..h * w];
    let mask = GrayImage::from_fn(w as u32, h as u32, |x, y| {
        let value = plane[x as usize * h + y as usize];
        image::Luma([if value > 0 { 255 } else { 0 }])
    });
    let masks = video.expressions.iter();
    let masks = masks.map(|e| (e.id.clone(), mask.clone())).collect();
    Ok(Truth::single(WINDOW / 2, masks))
}
