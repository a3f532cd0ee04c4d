use socc_exporter::graph::Graph;
use socc_exporter::tensor::DType;

use super::*;

fn graph(rows: usize) -> Graph {
    let mut g = Graph::new("fusion");
    let x = g.input("x", DType::F32, &[rows.into()]).unwrap();
    let y = g.scale(x, 2.0).unwrap();
    g.output("y", y).unwrap();
    g
}

fn begun(rows: usize) -> State {
    State {
        settings: Settings {
            checkpoint: "ff".to_owned(),
            engine: "embedded rten".to_owned(),
            data: "/data".to_owned(),
            split: "calib".to_owned(),
            clips: ["a", "b"].map(clip).to_vec(),
        },
        clips_done: 0,
        observations: Observations::of([&graph(rows)]),
    }
}

fn clip(name: &str) -> ClipSettings {
    ClipSettings {
        name: name.to_owned(),
        frames: vec!["0".to_owned()],
        expressions: vec!["the dog".to_owned()],
    }
}

fn observed() -> State {
    let mut state = begun(3);
    let stage = state.observations.stage("fusion").unwrap();
    for (_, observer) in stage.observers() {
        observer.observe(&[0.0, 1e-40, -3.4e38]).unwrap();
    }
    state.clips_done = 1;
    state
}

fn refusal(change: impl FnOnce(&mut State)) -> String {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state");
    observed().write(&path).unwrap();
    let mut now = begun(3);
    change(&mut now);
    now.resume(&path).unwrap_err().to_string()
}

#[test]
fn a_state_is_taken_up_as_it_was_left() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state");
    observed().write(&path).unwrap();
    assert_eq!(begun(3).resume(&path).unwrap(), observed());
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn another_calibration_is_refused_with_what_differs() {
    let text = refusal(|s| s.settings.checkpoint = "ee".to_owned());
    assert!(text.contains("checkpoint is ff, this one's ee"), "{text}");
    let text = refusal(|s| s.settings.engine = "tract".to_owned());
    assert!(text.contains("engine"), "{text}");
    let text = refusal(|s| s.settings.clips.truncate(1));
    assert!(text.contains("over 2 clips, this one over 1"), "{text}");
    let text = refusal(|s| s.settings.clips[1].name = "c".to_owned());
    assert!(text.contains("clip `b` in place of `c`"), "{text}");
    let text = refusal(|s| s.settings.clips[1].expressions.clear());
    assert!(text.contains("clip `b` has other"), "{text}");
    let text = refusal(|s| s.observations = begun(4).observations);
    assert!(text.contains("`fusion`"), "{text}");
}

#[test]
fn what_is_no_state_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state");
    let refusal = || begun(3).resume(&path).unwrap_err().to_string();
    assert!(refusal().contains("nothing to resume"));
    observed().write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in [0, 10, MAGIC.len(), MAGIC.len() + 20, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(refusal().contains("no calibration state"));
    }
    fs::write(&path, "{}").unwrap();
    assert!(refusal().contains("begins otherwise"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refusal().contains("not a file"));
}
