//! Whether plans can run on a machine.

use std::path::Path;

use socc_engines::tensorrt::Sm;

use super::{EnginesError, Result, Setting};

/// A machine that is to run plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// `tensorrt-rtx` or `tensorrt`.
    pub backend: String,
    /// Version of its TensorRT.
    pub tensorrt_version: String,
    /// Its GPU; `None` where that is not known yet.
    pub sm: Option<Sm>,
    /// Operating system, as [`std::env::consts::OS`] names it.
    pub os: String,
    /// Processor architecture, as [`std::env::consts::ARCH`] names it.
    pub arch: String,
}

impl Machine {
    /// This machine, with that TensorRT and GPU.
    pub fn here(backend: &str, tensorrt_version: &str, sm: Option<Sm>) -> Self {
        Self {
            backend: backend.to_owned(),
            tensorrt_version: tensorrt_version.to_owned(),
            sm,
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
        }
    }

    /// Refuses plans that were built for another machine.
    ///
    /// # Errors
    /// Another operating system or processor, another TensorRT or another version of it, or a GPU that they are not for.
    pub fn check(&self, dir: &Path, built: &Setting) -> Result<()> {
        let path = || dir.to_owned();
        if (&self.os, &self.arch) != (&built.os, &built.arch) {
            return Err(EnginesError::System {
                path: path(),
                built_for: format!("{} on {}", built.os, built.arch),
                present: format!("{} on {}", self.os, self.arch),
            });
        }
        let same = library(&self.backend) == library(&built.backend)
            && numbers(&self.tensorrt_version, &built.tensorrt_version);
        if !same {
            let name = |backend: &str, version: &str| format!("{} {version}", title(backend));
            return Err(EnginesError::Version {
                path: path(),
                built_by: name(&built.backend, &built.tensorrt_version),
                present: name(&self.backend, &self.tensorrt_version),
            });
        }
        let sms = &built.options.sms;
        match self.sm {
            Some(sm) if !sms.is_empty() && !sms.contains(&sm) => {
                let names: Vec<String> = sms.iter().map(Sm::to_string).collect();
                Err(EnginesError::Gpu {
                    path: path(),
                    built_for: names.join(", "),
                    present: sm.to_string(),
                })
            }
            _ => Ok(()),
        }
    }
}

/// The library behind a backend: trtexec is TensorRT's own tool.
fn library(backend: &str) -> &str {
    match backend {
        "trtexec" => "tensorrt",
        other => other,
    }
}

fn title(backend: &str) -> &str {
    match library(backend) {
        "tensorrt-rtx" => "TensorRT-RTX",
        "tensorrt" => "TensorRT",
        other => other,
    }
}

/// Whether two versions are equal as far as both say: trtexec does not tell the build number.
fn numbers(a: &str, b: &str) -> bool {
    let (a, b) = (a.split('.'), b.split('.'));
    a.zip(b).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socc_engines::tensorrt::BuildOptions;

    fn built() -> Setting {
        Setting {
            tool_version: "1".into(),
            backend: "tensorrt-rtx".into(),
            tensorrt_version: "1.7.1.116".into(),
            os: "linux".into(),
            arch: "x86_64".into(),
            options: BuildOptions {
                sms: vec![Sm(86), Sm(89)],
                ..BuildOptions::default()
            },
        }
    }

    fn machine() -> Machine {
        Machine {
            backend: "tensorrt-rtx".into(),
            tensorrt_version: "1.7.1.116".into(),
            sm: Some(Sm(89)),
            os: "linux".into(),
            arch: "x86_64".into(),
        }
    }

    fn refusal(change: impl FnOnce(&mut Machine, &mut Setting)) -> String {
        let (mut machine, mut built) = (machine(), built());
        change(&mut machine, &mut built);
        let checked = machine.check(Path::new("engines"), &built);
        checked.map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn the_machine_that_they_are_for_may_load_them() {
        assert_eq!(refusal(|_, _| {}), "");
        assert_eq!(refusal(|m, _| m.sm = None), "");
        assert_eq!(refusal(|_, b| b.options.sms.clear()), "");
        assert_eq!(
            refusal(|m, b| {
                m.backend = "tensorrt".into();
                m.tensorrt_version = "11.4.0.106".into();
                b.backend = "trtexec".into();
                b.tensorrt_version = "11.4.0".into();
            }),
            ""
        );
    }

    #[test]
    fn another_machine_is_refused_with_a_remedy() {
        let cases = [
            (
                refusal(|m, _| m.tensorrt_version = "1.7.2.3".into()),
                "built by TensorRT-RTX 1.7.1.116 and this machine has TensorRT-RTX 1.7.2.3",
            ),
            (
                refusal(|m, _| m.backend = "tensorrt".into()),
                "this machine has TensorRT 1.7.1.116",
            ),
            (
                refusal(|m, _| m.sm = Some(Sm(120))),
                "are for SM 86, 89 and this machine's GPU is SM 120; run `socc build` with --sm 120",
            ),
            (
                refusal(|m, _| m.os = "windows".into()),
                "are for linux on x86_64 and this machine is windows on x86_64",
            ),
            (
                refusal(|m, _| m.arch = "aarch64".into()),
                "this machine is linux on aarch64",
            ),
        ];
        for (message, part) in cases {
            assert!(message.contains(part), "`{part}` is not in: {message}");
            assert!(message.contains("run `socc build`"), "{message}");
        }
    }
}
