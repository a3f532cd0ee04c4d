//! What a plan depends on, as one hash.

use serde::Serialize;
use sha2::{Digest, Sha256};
use socc_engines::tensorrt::Profile;
use socc_exporter::digest::hex;
use socc_exporter::onnx::SavedFile;
use socc_exporter::tensor::TensorSpec;

use super::{FORMAT_VERSION, Setting};
use crate::bundle::StageEntry;

/// All that a plan depends on.
#[derive(Serialize)]
pub(super) struct Key<'a> {
    format_version: u32,
    setting: &'a Setting,
    stage: &'a str,
    files: &'a [SavedFile],
    inputs: &'a [TensorSpec],
    outputs: &'a [TensorSpec],
    profile: Profile,
}

/// Hash of all that the plan of a stage depends on.
pub(super) fn key(setting: &Setting, stage: &StageEntry, profile: Profile) -> String {
    let key = Key {
        format_version: FORMAT_VERSION,
        setting,
        stage: &stage.name,
        files: &stage.files,
        inputs: &stage.inputs,
        outputs: &stage.outputs,
        profile,
    };
    // Structures of numbers and text always have a JSON form.
    let text = serde_json::to_vec(&key).unwrap_or_default();
    hex(&Sha256::digest(&text))
}

/// Hash over the hashes of a graph's files.
pub(super) fn graph_sha256(files: &[SavedFile]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(format!("{}  {}\n", file.sha256, file.name));
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use socc_calibration::passes::Report;
    use socc_calibration::precision::Precision;
    use socc_engines::tensorrt::{BuildOptions, Sm};
    use socc_exporter::model::Rate;
    use socc_exporter::tensor::DType;

    fn setting() -> Setting {
        Setting {
            tool_version: "1".into(),
            backend: "tensorrt-rtx".into(),
            tensorrt_version: "1.7.1.116".into(),
            os: "linux".into(),
            arch: "x86_64".into(),
            options: BuildOptions::default(),
        }
    }

    fn stage() -> StageEntry {
        StageEntry {
            name: "fusion".into(),
            rate: Rate::ClipExpression,
            inputs: vec![TensorSpec {
                name: "x".into(),
                dtype: DType::F32,
                shape: vec![2.into()],
            }],
            outputs: vec![],
            files: vec![SavedFile {
                name: "fusion.onnx".into(),
                bytes: 1,
                sha256: "00".into(),
            }],
            precision: Precision::Fp32,
            lowering: Report::default(),
        }
    }

    #[test]
    fn everything_that_a_plan_depends_on_changes_its_key() {
        let profile = Profile::tokens(64);
        let base = key(&setting(), &stage(), profile);
        assert_eq!(base, key(&setting(), &stage(), profile));
        let with = |change: fn(&mut Setting, &mut StageEntry)| {
            let (mut setting, mut stage) = (setting(), stage());
            change(&mut setting, &mut stage);
            key(&setting, &stage, profile)
        };
        let changed = [
            with(|s, _| s.tool_version = "2".into()),
            with(|s, _| s.backend = "tensorrt".into()),
            with(|s, _| s.tensorrt_version = "1.7.2.1".into()),
            with(|s, _| s.os = "windows".into()),
            with(|s, _| s.arch = "aarch64".into()),
            with(|s, _| s.options.sms = vec![Sm(89)]),
            with(|s, _| s.options.workspace_mib = Some(64)),
            with(|s, _| s.options.opt_level = Some(5)),
            with(|_, e| e.name = "temporal".into()),
            with(|_, e| e.files[0].sha256 = "01".into()),
            with(|_, e| e.inputs[0].dtype = DType::I32),
            key(&setting(), &stage(), Profile::tokens(32)),
        ];
        for (i, other) in changed.iter().enumerate() {
            assert_ne!(*other, base, "change {i}");
        }
    }
}
