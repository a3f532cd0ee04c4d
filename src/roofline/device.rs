//! Published peaks of devices. Dense arithmetic: figures that NVIDIA gives for sparse operands are halved.

use super::Machine;

/// Peaks of one device: tera-operations per second, gigabytes per second.
struct Row {
    name: &'static str,
    fp32: f64,
    fp16: f64,
    int8: f64,
    bandwidth: f64,
    source: &'static str,
}

/// The devices' names.
pub const DEVICES: [&str; 7] = [
    "orin-nano",
    "orin-nx",
    "agx-orin",
    "thor",
    "rtx-4090",
    "a100",
    "h100",
];

/// An Ampere GPU of the Orin family does, per multiprocessor and clock, 256 float32 operations, 2048 float16 and 4096
/// int8 matrix operations; "Jetson AGX Orin Series Technical Brief" v1.2 gives 5.3 TFLOPS and 170 sparse INT8 TOPS for
/// 16 of them at 1.3 GHz, which is that.
const ROWS: [Row; 7] = [
    Row {
        name: DEVICES[0],
        fp32: 2.09,
        fp16: 16.7,
        int8: 33.4,
        bandwidth: 102.0,
        source: "Jetson Orin Nano Super Developer Kit data sheet: 8 multiprocessors at 1020 MHz, 67 sparse INT8 TOPS, 102 GB/s (MAXN SUPER)",
    },
    Row {
        name: DEVICES[1],
        fp32: 1.88,
        fp16: 15.0,
        int8: 30.1,
        bandwidth: 102.4,
        source: "Jetson Orin NX 16GB data sheet: 8 multiprocessors at 918 MHz, 102.4 GB/s; the GPU alone, without its DLAs, before the Super modes",
    },
    Row {
        name: DEVICES[2],
        fp32: 5.3,
        fp16: 42.5,
        int8: 85.0,
        bandwidth: 204.8,
        source: "Jetson AGX Orin Series Technical Brief v1.2, 64GB: 5.3 FP32 TFLOPS, 170 sparse INT8 TOPS, 204.8 GB/s; the GPU alone, without its DLAs",
    },
    Row {
        name: DEVICES[3],
        fp32: 8.06,
        fp16: 258.0,
        int8: 517.0,
        bandwidth: 273.0,
        source: "Jetson T5000 data sheet: 2560 CUDA cores at 1.575 GHz, 2070 sparse FP4 TFLOPS (an eighth of it for dense FP16, a quarter for 8 bits), 273 GB/s",
    },
    Row {
        name: DEVICES[4],
        fp32: 82.6,
        fp16: 165.2,
        int8: 660.6,
        bandwidth: 1008.0,
        source: "NVIDIA Ada GPU Architecture, appendix A: dense, FP16 with FP32 accumulation",
    },
    Row {
        name: DEVICES[5],
        fp32: 19.5,
        fp16: 312.0,
        int8: 624.0,
        bandwidth: 2039.0,
        source: "NVIDIA A100 Tensor Core GPU data sheet: 80GB SXM, dense",
    },
    Row {
        name: DEVICES[6],
        fp32: 67.0,
        fp16: 989.0,
        int8: 1979.0,
        bandwidth: 3350.0,
        source: "NVIDIA H100 Tensor Core GPU data sheet: SXM, sparse figures halved",
    },
];

/// The device called `name`.
pub fn device(name: &str) -> Option<Machine> {
    let row = ROWS.iter().find(|r| r.name == name)?;
    Some(Machine {
        name: row.name.to_owned(),
        fp32_flops: row.fp32 * 1e12,
        fp16_flops: Some(row.fp16 * 1e12),
        int8_ops: Some(row.int8 * 1e12),
        bandwidth: row.bandwidth * 1e9,
        source: row.source.to_owned(),
    })
}
