//! Shards of an evaluation to one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::record::{Identity, Record};
use super::store::{
    PARTIAL, RUN, Result, Store, StoreError, read_dir, read_json, record_path, write_error,
};
use crate::host::output::create_dir;

/// Joins shards in `out` and gives the identity and records of the whole.
///
/// # Errors
/// The shards are of different evaluations, one is missing, there twice or unfinished; `out` is not empty;
/// or a file cannot be read or written.
pub fn merge(
    shards: &[PathBuf],
    out: &Path,
) -> Result<(Store, Identity, BTreeMap<String, Record>)> {
    let mut whole: Option<Identity> = None;
    let mut parts: BTreeMap<usize, &PathBuf> = BTreeMap::new();
    let mut records: BTreeMap<String, (Record, &PathBuf)> = BTreeMap::new();
    for shard in shards {
        let identity: Identity = read_json(&shard.join(RUN))?;
        let (part, of) = identity.shard.ok_or_else(|| {
            StoreError::Shards(format!(
                "{} is no shard; evaluate with --shard I/N",
                shard.display()
            ))
        })?;
        if let Some(other) = parts.insert(part, shard) {
            let (a, b) = (other.display(), shard.display());
            return Err(StoreError::Shards(format!(
                "{a} and {b} are both shard {part}/{of}"
            )));
        }
        if let Some(first) = &whole {
            let number = (first.shard.map(|s| s.1) != Some(of)).then_some("number of shards");
            if let Some(what) = first.difference(&identity).or(number) {
                return Err(StoreError::Other {
                    path: shard.clone(),
                    what: what.to_owned(),
                });
            }
        }
        for video in identity.own() {
            let path = record_path(shard, video);
            if !path.exists() {
                let place = shard.display();
                return Err(StoreError::Shards(format!(
                    "{place} has not done video {video}; finish it with --resume"
                )));
            }
            records.insert(video.to_owned(), (read_json(&path)?, shard));
        }
        whole.get_or_insert(identity);
    }
    let Some(mut whole) = whole else {
        return Err(StoreError::Shards("there are none".to_owned()));
    };
    let of = whole.shard.map_or(1, |s| s.1);
    if let Some(missing) = (1..=of).find(|part| !parts.contains_key(part)) {
        return Err(StoreError::Shards(format!(
            "shard {missing}/{of} is missing"
        )));
    }
    whole.shard = None;
    let (store, _) = Store::open(out, &whole, false)?;
    let mut done = BTreeMap::new();
    for (video, (record, shard)) in records {
        let files = store.begin(&video)?;
        for kind in read_dir(shard)? {
            let masks = kind.join(&video);
            let name = kind.file_name().unwrap_or_default();
            if masks.is_dir() && name != PARTIAL {
                copy_all(&masks, &files.dir.join(name))?;
            }
        }
        store.commit(files, &record)?;
        done.insert(video, record);
    }
    Ok((store, whole, done))
}

/// Copies a folder, by hard links where that works.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    create_dir(to)?;
    for path in read_dir(from)? {
        let place = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_all(&path, &place)?;
        } else if fs::hard_link(&path, &place).is_err() {
            fs::copy(&path, &place).map_err(|e| write_error(&place, e))?;
        }
    }
    Ok(())
}
