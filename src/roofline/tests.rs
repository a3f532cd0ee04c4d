//! Against onnx-tool's counts, and against sums done by hand.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use socc_exporter::graph::Graph;
use socc_exporter::tensor::{DType, Dim};

use super::{Counter, Limit, Precision, bound, device, scopes};
use crate::source::Source;

#[derive(Deserialize)]
struct Fixture {
    frames: usize,
    height: usize,
    width: usize,
    tokens: usize,
    macs: BTreeMap<String, BTreeMap<String, u64>>,
}

fn demo() -> Source {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let config = assets.join("config.yaml");
    let tokenizer = assets.join("roberta");
    let model = assets.join("model.safetensors");
    Source::open(&model, Some(&config), Some(&tokenizer)).unwrap()
}

#[test]
fn products_are_those_that_onnx_tool_counts() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/macs.json")).unwrap();
    let source = demo();
    let request = source.request(fixture.frames, fixture.height, fixture.width);
    for (name, _, graph) in source.graphs(&request).unwrap() {
        let counter = Counter::new(&graph, fixture.tokens);
        for (op, expected) in &fixture.macs[&name] {
            let nodes = graph.nodes().iter().filter(|n| n.op == op);
            let got = counter.count(nodes, Precision::Graph).macs;
            let off = (got as f64 - *expected as f64).abs();
            assert!(
                off <= 0.01 * *expected as f64,
                "{name}, {op}: {got} where onnx-tool counts {expected}"
            );
        }
        // Every node is in one scope, and scopes share no work.
        let parts = scopes(&graph, 3);
        let parts = parts
            .iter()
            .map(|(_, nodes)| counter.count(nodes.iter().copied(), Precision::Graph));
        let whole = counter.all(Precision::Graph);
        let sum = parts.fold((0, 0), |(n, f), c| (n + c.nodes, f + c.flops));
        assert_eq!(sum, (whole.nodes, whole.flops));
        // What is cut apart moves more, and narrower values less.
        let fp16 = counter.all(Precision::Fp16);
        let int8 = counter.all(Precision::Int8);
        assert!(counter.unfused_bytes(Precision::Graph) >= whole.bytes());
        assert!(int8.bytes() <= fp16.bytes() && fp16.bytes() < whole.bytes());
        assert_eq!(fp16.flops, whole.flops);
    }
}

/// `relu(x w)` with x [3, 4] and w [4, 5]: 3 * 5 * 4 multiply-accumulates, 15 comparisons.
#[test]
fn a_small_graph_by_hand() {
    let fixed = |dims: &[usize]| dims.iter().map(|n| Dim::Fixed(*n)).collect::<Vec<_>>();
    let mut graph = Graph::new("small");
    let x = graph.input("x", DType::F32, &fixed(&[3, 4])).unwrap();
    let w = graph.input("w", DType::F32, &fixed(&[4, 5])).unwrap();
    let product = graph.matmul(x, w).unwrap();
    let flat = graph.view(product, &[15]).unwrap();
    let y = graph.relu(flat).unwrap();
    graph.output("y", y).unwrap();
    let counter = Counter::new(&graph, 1);
    let all = counter.all(Precision::Graph);
    assert_eq!((all.macs, all.flops), (60, 135));
    // The product stays inside, and the reshape moves nothing.
    assert_eq!((all.read_bytes, all.written_bytes), (4 * (12 + 20), 4 * 15));
    let unfused = 4 * (12 + 20 + 15) + 4 * (15 + 15);
    assert_eq!(counter.unfused_bytes(Precision::Graph), unfused);
    let int8 = counter.all(Precision::Int8);
    assert_eq!((int8.read_bytes, int8.written_bytes), (12 + 20, 2 * 15));
}

#[test]
fn the_ridge_decides_what_limits() {
    let machine = device("agx-orin").unwrap();
    let count = super::Count {
        flops: 5_300_000_000,
        read_bytes: 1,
        ..Default::default()
    };
    let by_compute = bound(&count, &machine, Precision::Graph).unwrap();
    assert_eq!(by_compute.limit, Limit::Compute);
    assert!((by_compute.ms - 1.0).abs() < 1e-9);
    let count = super::Count {
        flops: 1,
        read_bytes: 204_800_000,
        ..Default::default()
    };
    let by_memory = bound(&count, &machine, Precision::Fp16).unwrap();
    assert_eq!(by_memory.limit, Limit::Memory);
    assert!((by_memory.ms - 1.0).abs() < 1e-9);
    assert!(device("orin").is_none());
}
