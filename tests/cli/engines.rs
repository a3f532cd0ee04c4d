//! A folder of engines: what is kept, and what is refused before anything is loaded.

use std::fs;
use std::path::Path;

use socc::bundle::Bundle;
use socc::engines::{self, Engines, Job, Machine, Setting};
use socc_engines::tensorrt::{BuildOptions, Sm};

use crate::build::{bundle, edit};

fn setting() -> Setting {
    Setting {
        tool_version: "1".into(),
        backend: "tensorrt-rtx".into(),
        tensorrt_version: "1.7.1.116".into(),
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
        options: BuildOptions {
            sms: vec![Sm(89)],
            ..BuildOptions::default()
        },
    }
}

/// Fills a folder with files in plans' places; returns the stages that were not there.
fn fill(bundle: &Bundle, out: &Path, setting: Setting) -> Vec<String> {
    let job = Job {
        bundle,
        stages: engines::chosen(bundle, &[]).unwrap(),
        setting,
    };
    let made = engines::build(&job, out, &mut |stage, _, path| {
        fs::write(path, &stage.name).unwrap();
        Ok(())
    });
    made.unwrap().built
}

#[test]
fn only_what_changed_is_built_again() {
    let (temp, path) = bundle("grid-sample");
    let mut bundle = Bundle::open(&path).unwrap();
    let out = temp.path().join("engines");
    assert_eq!(fill(&bundle, &out, setting()).len(), 6);
    assert!(fill(&bundle, &out, setting()).is_empty());
    bundle.manifest.stages[2].files[0].sha256 = "0".repeat(64);
    assert_eq!(fill(&bundle, &out, setting()), ["fusion"]);
    let newer = Setting {
        tensorrt_version: "1.7.2.1".into(),
        ..setting()
    };
    assert_eq!(fill(&bundle, &out, newer).len(), 6);
    // Nothing is left of the work.
    assert_eq!(fs::read_dir(&out).unwrap().count(), 7);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2);
}

#[test]
fn a_failed_build_leaves_the_folder_as_it_was() {
    let (temp, path) = bundle("grid-sample");
    let bundle = Bundle::open(&path).unwrap();
    let out = temp.path().join("engines");
    let job = Job {
        bundle: &bundle,
        stages: engines::chosen(&bundle, &[]).unwrap(),
        setting: setting(),
    };
    let mut left = 3;
    let failed = engines::build(&job, &out, &mut |stage, _, path| {
        left -= 1;
        // The last one leaves no file, as where a disk is full.
        if left > 0 {
            fs::write(path, &stage.name).unwrap();
        }
        Ok(())
    });
    assert!(failed.is_err());
    assert_eq!(
        fs::read_dir(temp.path()).unwrap().count(),
        1,
        "only the bundle"
    );
}

#[test]
fn what_this_machine_cannot_run_is_refused_before_it_is_loaded() {
    let (temp, path) = bundle("grid-sample");
    let bundle = Bundle::open(&path).unwrap();
    let out = temp.path().join("engines");
    fill(&bundle, &out, setting());
    let machine = |version: &str, sm| Machine::here("tensorrt-rtx", version, Some(Sm(sm)));
    let here = machine("1.7.1.116", 89);
    let opened = Engines::open(&out, &here).unwrap();
    assert!(opened.plan("fusion").unwrap().1.is_file());
    let missing = opened.plan("backbone").unwrap_err().to_string();
    assert!(
        missing.contains("no engine of stage `backbone`"),
        "{missing}"
    );
    let refusal = |machine: &Machine| Engines::open(&out, machine).unwrap_err().to_string();
    assert!(refusal(&machine("1.7.2.1", 89)).contains("built by TensorRT-RTX 1.7.1.116"));
    assert!(refusal(&machine("1.7.1.116", 86)).contains("run `socc build` with --sm 86"));

    fs::write(out.join("temporal.plan"), "tempora1").unwrap();
    let said = refusal(&here);
    assert!(
        said.contains("temporal.plan has changed since it was built"),
        "{said}"
    );
    let file = out.join("engines.json");
    edit(&file, |m| m["stages"][0]["plan"]["name"] = "../x".into());
    assert!(refusal(&here).contains("`../x`, which is not inside the folder"));
    edit(&file, |m| m["format_version"] = 2.into());
    assert!(refusal(&here).contains("format version 2"));
    fs::write(&file, "{").unwrap();
    assert!(refusal(&here).contains("does not describe engines"));
}

#[test]
fn a_folder_of_something_else_is_not_touched() {
    let (temp, path) = bundle("grid-sample");
    let bundle = Bundle::open(&path).unwrap();
    fs::write(temp.path().join("letter.txt"), "dear").unwrap();
    let job = Job {
        bundle: &bundle,
        stages: engines::chosen(&bundle, &[]).unwrap(),
        setting: setting(),
    };
    let built = engines::build(&job, temp.path(), &mut |_, _, _| Ok(()));
    let said = built.unwrap_err().to_string();
    assert!(said.contains("holds something else than engines"), "{said}");
}
