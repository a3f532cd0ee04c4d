//! `meta_expressions.json` as Ref-YouTube-VOS, MeViS and (converted) Ref-DAVIS have it.

use std::fmt;
use std::fs;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::{DatasetError, Expression, Finding, FindingKind, Findings, Result, Video};

/// A JSON object in the order of the file: expressions of Ref-DAVIS are told apart by it.
struct Ordered<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<T> Ordered<T> {
    /// Of equal keys the last, in the place of the first, as in Python; and how many were dropped.
    fn unique(self) -> (Vec<(String, T)>, usize) {
        let total = self.0.len();
        let mut places = std::collections::HashMap::new();
        let mut unique: Vec<(String, T)> = Vec::with_capacity(total);
        for (key, value) in self.0 {
            match places.get(&key) {
                Some(&place) => unique[place] = (key, value),
                None => {
                    places.insert(key.clone(), unique.len());
                    unique.push((key, value));
                }
            }
        }
        let dropped = total - unique.len();
        (unique, dropped)
    }
}

#[derive(serde::Deserialize)]
struct FileJson {
    videos: Ordered<VideoJson>,
}

#[derive(serde::Deserialize)]
struct VideoJson {
    frames: Vec<String>,
    expressions: Ordered<ExpressionJson>,
}

#[derive(serde::Deserialize)]
struct ExpressionJson {
    exp: String,
    #[serde(default)]
    obj_id: Option<Ids>,
    #[serde(default)]
    anno_id: Option<Ids>,
}

/// One number, bare or quoted, or a list of them.
struct Ids(Vec<u32>);

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Id {
            Number(u32),
            Text(String),
            Many(Vec<Id>),
        }
        fn flatten<E: de::Error>(id: Id, ids: &mut Vec<u32>) -> std::result::Result<(), E> {
            match id {
                Id::Number(n) => ids.push(n),
                Id::Text(text) => ids.push(
                    text.trim()
                        .parse()
                        .map_err(|_| E::custom(format!("`{text}` is no object id")))?,
                ),
                Id::Many(many) => {
                    for id in many {
                        flatten(id, ids)?;
                    }
                }
            }
            Ok(())
        }
        let mut ids = Vec::new();
        flatten(Id::deserialize(deserializer)?, &mut ids)?;
        Ok(Self(ids))
    }
}

/// Reads the videos in the order of the file; odd expressions are noted.
pub(super) fn read(path: &Path, findings: &mut Findings) -> Result<Vec<Video>> {
    let bytes = fs::read(path).map_err(|source| DatasetError::Read {
        path: path.to_owned(),
        source,
        expected: "it lists a split's videos and their expressions",
    })?;
    let damaged = |reason: String| DatasetError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let json: FileJson = serde_json::from_slice(&bytes).map_err(|e| {
        damaged(format!(
            "{e}; expected {{\"videos\": {{NAME: {{\"frames\": [...], \"expressions\": {{ID: {{\"exp\": ...}}}}}}}}}}"
        ))
    })?;
    let (videos, dropped) = json.videos.unique();
    if dropped > 0 {
        let detail = format!("{dropped} videos are listed twice in {}", path.display());
        findings.note(Finding::new(FindingKind::DuplicatedKey, "*", detail))?;
    }
    videos
        .into_iter()
        .map(|(name, json)| {
            let flaw = |what: &str, name: &str| damaged(format!("{what} {name:?} is no file name"));
            check_name(&name).map_err(|()| flaw("video", &name))?;
            if let Some(frame) = json.frames.iter().find(|f| check_name(f).is_err()) {
                return Err(flaw("frame", frame));
            }
            let expressions = expressions(&name, json.expressions, findings)?;
            if let Some(bad) = expressions.iter().find(|e| check_name(&e.id).is_err()) {
                return Err(flaw("expression", &bad.id));
            }
            Ok(Video {
                name,
                frames: json.frames,
                expressions,
                annotated: None,
            })
        })
        .collect()
}

/// Refuses a name that would lead elsewhere: results are stored under it.
fn check_name(name: &str) -> std::result::Result<(), ()> {
    let plain =
        !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != "..";
    plain.then_some(()).ok_or(())
}

fn expressions(
    video: &str,
    json: Ordered<ExpressionJson>,
    findings: &mut Findings,
) -> Result<Vec<Expression>> {
    let (entries, dropped) = json.unique();
    if dropped > 0 {
        let detail = format!("{dropped} expression ids are listed twice");
        findings.note(Finding::new(FindingKind::DuplicatedKey, video, detail))?;
    }
    let mut all: Vec<Expression> = Vec::with_capacity(entries.len());
    for (id, json) in entries {
        note_text(video, &id, &json.exp, &all, findings)?;
        all.push(Expression {
            id,
            text: json.exp,
            objects: json.obj_id.map_or(Vec::new(), |ids| ids.0),
            masks: json.anno_id.map_or(Vec::new(), |ids| ids.0),
        });
    }
    Ok(all)
}

/// Notes what is odd about an expression's text.
pub(super) fn note_text(
    video: &str,
    id: &str,
    text: &str,
    before: &[Expression],
    findings: &mut Findings,
) -> Result<()> {
    if let Some(same) = before.iter().find(|e| e.text == text) {
        let detail = format!("{text:?} is expression {} too", same.id);
        let kind = FindingKind::DuplicatedExpression;
        findings.note(Finding::new(kind, video, detail).expression(id))?;
    }
    if !text.is_ascii() {
        let detail = format!("{text:?} has letters beyond ASCII");
        let kind = FindingKind::NonAsciiExpression;
        findings.note(Finding::new(kind, video, detail).expression(id))?;
    }
    Ok(())
}
