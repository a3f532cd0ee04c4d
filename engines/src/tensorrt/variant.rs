//! The two libraries that go by the name of TensorRT.

use std::fmt;
use std::str::FromStr;

use super::sm::Sm;

/// Which TensorRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// TensorRT-RTX 1.7, for the GPUs of desktops and workstations; its builder needs no GPU.
    Rtx,
    /// TensorRT 11; its builder measures kernels on the GPU that it builds for.
    Enterprise,
}

/// The one that this build can use, if any: bindings exist for one at a time, and with both features it is TensorRT 11.
pub const BUILT_FOR: Option<Variant> = if cfg!(feature = "tensorrt") {
    Some(Variant::Enterprise)
} else if cfg!(feature = "tensorrt-rtx") {
    Some(Variant::Rtx)
} else {
    None
};

impl Variant {
    /// Name for `--backend` and `--engine`, and of the cargo feature.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rtx => "tensorrt-rtx",
            Self::Enterprise => "tensorrt",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rtx => "TensorRT-RTX",
            Self::Enterprise => "TensorRT",
        }
    }

    /// The library and its ONNX parser, as the system's loader knows them.
    pub(super) fn libraries(self) -> [&'static str; 2] {
        match self {
            Self::Rtx if cfg!(windows) => {
                ["tensorrt_rtx_1_7.dll", "tensorrt_onnxparser_rtx_1_7.dll"]
            }
            Self::Rtx => ["libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"],
            Self::Enterprise if cfg!(windows) => ["nvinfer_11.dll", "nvonnxparser_11.dll"],
            Self::Enterprise => ["libnvinfer.so.11", "libnvonnxparser.so.11"],
        }
    }

    /// Compute capabilities that a build may name; none where it is always for the GPU that is present.
    pub fn targets(self) -> &'static [Sm] {
        match self {
            Self::Rtx => &[Sm(75), Sm(80), Sm(86), Sm(89), Sm(120), Sm(121)],
            Self::Enterprise => &[],
        }
    }

    /// What to do when the library is not there.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Rtx => {
                "run `socc setup tensorrt-rtx`, or point SOCC_TENSORRT_LIBRARY at libtensorrt_rtx.so.1"
            }
            Self::Enterprise => {
                "install TensorRT 11, or point SOCC_TENSORRT_LIBRARY at libnvinfer.so.11"
            }
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variant {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::Rtx, Self::Enterprise]
            .into_iter()
            .find(|v| v.name() == name)
            .ok_or(())
    }
}
