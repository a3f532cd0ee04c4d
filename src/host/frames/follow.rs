//! A folder that fills while it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, thread};

use super::folder::{Order, list, name, order, picture, same_name};
use super::{Frame, HostError, Picker, Result, Selection};

/// Time between two looks at the folder. A picture that is the same at both is taken to be whole.
const LOOK: Duration = Duration::from_millis(100);
/// How long a picture that does not decode may stay as it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// The selected pictures of a folder in the order of their names, as they come.
pub(super) struct Follow {
    folder: PathBuf,
    picker: Picker,
    idle: Duration,
    patience: Duration,
    /// Pictures that are there and have not had their turn.
    waiting: BTreeMap<Order, State>,
    /// Pictures that are there and have had theirs, or came too late for it.
    past: BTreeSet<PathBuf>,
    /// The last one that had its turn.
    last: Option<Order>,
    late: usize,
}

/// How a file was found.
struct State {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Since when it is so.
    since: Instant,
}

impl Follow {
    pub(super) fn new(folder: &Path, selection: &Selection, idle: Duration) -> Self {
        Self {
            folder: folder.to_owned(),
            picker: Picker::new(selection),
            idle,
            patience: PATIENCE,
            waiting: BTreeMap::new(),
            past: BTreeSet::new(),
            last: None,
            late: 0,
        }
    }

    /// Pictures that came behind one that had been taken.
    pub(super) fn late(&self) -> usize {
        self.late
    }

    /// Waits for the next selected picture; nothing when none came for too long.
    pub(super) fn read(&mut self) -> Result<Option<(PathBuf, Frame)>> {
        let mut begun = Instant::now();
        while !self.picker.is_done() {
            self.look()?;
            match self.waiting.first_key_value() {
                None if begun.elapsed() >= self.idle => break,
                None => {}
                Some((place, state)) => {
                    begun = Instant::now();
                    let (place, unchanged) = (place.clone(), state.since.elapsed());
                    if !self.picker.takes() {
                        self.pass(place);
                        continue;
                    }
                    if let Some(frame) = self.take(&place.1, unchanged)? {
                        let file = place.1.clone();
                        self.pass(place);
                        return Ok(Some((file, frame)));
                    }
                }
            }
            thread::sleep(LOOK);
        }
        Ok(None)
    }

    /// The picture, if it is whole.
    fn take(&self, file: &Path, unchanged: Duration) -> Result<Option<Frame>> {
        if unchanged < LOOK {
            return Ok(None);
        }
        let name = name(file);
        if self.past.iter().any(|other| self::name(other) == name) {
            return Err(same_name(file));
        }
        match picture(file) {
            Ok(image) => Ok(Some(Frame { name, image })),
            Err(HostError::Frame { path, reason }) if unchanged >= self.patience => {
                let seconds = unchanged.as_secs_f64();
                let reason = format!("{reason}; nobody completed it for {seconds:.0} s");
                Err(HostError::Frame { path, reason })
            }
            Err(error) if unchanged >= self.patience => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Goes past the first that waits.
    fn pass(&mut self, place: Order) {
        self.picker.pass();
        self.waiting.remove(&place);
        self.past.insert(place.1.clone());
        self.last = Some(place);
    }

    /// Sees what is there now.
    fn look(&mut self) -> Result<()> {
        let files: BTreeSet<PathBuf> = list(&self.folder)?.into_iter().collect();
        self.past.retain(|file| files.contains(file));
        self.waiting.retain(|(_, file), _| files.contains(file));
        for file in files {
            if self.past.contains(&file) {
                continue;
            }
            let place = order(&file);
            if self.last.as_ref().is_some_and(|last| place <= *last) {
                self.late += 1;
                self.past.insert(file);
                continue;
            }
            // It may have gone since.
            let Ok(meta) = fs::metadata(&file) else {
                continue;
            };
            let (bytes, modified) = (meta.len(), meta.modified().ok());
            let same = |s: &State| s.bytes == bytes && s.modified == modified;
            if !self.waiting.get(&place).is_some_and(same) {
                let since = Instant::now();
                let state = State {
                    bytes,
                    modified,
                    since,
                };
                self.waiting.insert(place, state);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::frames::Frames;
    use image::RgbImage;

    fn write(folder: &Path, name: &str, level: u8) {
        let image = RgbImage::from_pixel(3, 2, image::Rgb([level; 3]));
        image.save(folder.join(name)).unwrap();
    }

    fn follow(folder: &Path, selection: &Selection, idle_ms: u64) -> Follow {
        Follow::new(folder, selection, Duration::from_millis(idle_ms))
    }

    fn next(follow: &mut Follow) -> Option<String> {
        follow.read().unwrap().map(|(_, frame)| frame.name)
    }

    #[test]
    fn pictures_come_in_order_and_late_ones_are_counted() {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path();
        let mut pictures = follow(at, &Selection::default(), 300);
        for name in ["f2.png", "f10.png"] {
            write(at, name, 1);
        }
        assert_eq!(next(&mut pictures).as_deref(), Some("f2"));
        write(at, "f1.png", 1);
        write(at, "f9.bmp", 1);
        fs::write(at.join("notes.txt"), "no picture").unwrap();
        assert_eq!(next(&mut pictures).as_deref(), Some("f9"));
        assert_eq!(next(&mut pictures).as_deref(), Some("f10"));
        // One that was taken and goes away is not missed.
        fs::remove_file(at.join("f2.png")).unwrap();
        assert_eq!(next(&mut pictures), None);
        assert_eq!(pictures.late(), 1);
        write(at, "f11.png", 1);
        assert_eq!(next(&mut pictures).as_deref(), Some("f11"));
        write(at, "f11.webp", 1);
        let error = pictures.read().unwrap_err().to_string();
        assert!(error.contains("another picture"), "{error}");
    }

    #[test]
    fn the_selection_counts_every_picture() {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path();
        // Those that are not taken need not be pictures.
        for i in 0..9 {
            fs::write(at.join(format!("{i}.png")), "nothing").unwrap();
        }
        write(at, "1.png", 1);
        write(at, "4.png", 1);
        let selection = Selection {
            start: 1,
            every: 3,
            frames: Some(2),
        };
        let mut pictures = follow(at, &selection, 60_000);
        let names = [next(&mut pictures), next(&mut pictures)];
        assert_eq!(names.map(Option::unwrap), ["1", "4"]);
        assert_eq!(next(&mut pictures), None);
    }

    #[test]
    fn half_a_picture_is_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path();
        write(at, "whole.png", 7);
        let whole = fs::read(at.join("whole.png")).unwrap();
        fs::rename(at.join("whole.png"), at.join("whole.txt")).unwrap();
        let half = at.join("1.png");
        fs::write(&half, &whole[..whole.len() / 2]).unwrap();
        write(at, "2.png", 1);
        let mut pictures = follow(at, &Selection::default(), 100);
        let late = thread::spawn({
            let half = half.clone();
            move || {
                thread::sleep(Duration::from_millis(700));
                fs::write(half, whole).unwrap();
            }
        });
        let (_, first) = pictures.read().unwrap().unwrap();
        late.join().unwrap();
        assert_eq!((first.name.as_str(), first.image[(0, 0)].0), ("1", [7; 3]));
        assert_eq!(next(&mut pictures).as_deref(), Some("2"));
        fs::write(at.join("3.png"), "never a picture").unwrap();
        pictures.patience = Duration::from_millis(300);
        let error = pictures.read().unwrap_err().to_string();
        assert!(
            error.contains("3.png") && error.contains("nobody"),
            "{error}"
        );
    }

    #[test]
    fn only_folders_fill() {
        let temp = tempfile::tempdir().unwrap();
        let (file, idle) = (temp.path().join("clip.mp4"), Duration::ZERO);
        fs::write(&file, "").unwrap();
        let open = |path: &Path| Frames::follow(path, &Selection::default(), idle);
        let error = open(&file).err().unwrap().to_string();
        assert!(error.contains("--follow"), "{error}");
        assert!(open(&temp.path().join("missing")).is_err());
        let error = open(temp.path()).unwrap().next().unwrap().unwrap_err();
        assert!(matches!(error, HostError::NoFrames { .. }), "{error:?}");
    }
}
