//! Layer names in TensorRT's grammar against the graph of the demonstration model; files in trtexec's form.

use std::collections::HashMap;
use std::path::Path;

use socc_exporter::graph::Graph;

use super::{LayerMap, StageProfile, trtexec};
use crate::source::Source;

fn backbone() -> Graph {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let model = assets.join("model.safetensors");
    let source = Source::open(&model, Some(&assets.join("config.yaml")), None).unwrap();
    let graphs = source.graphs(&source.request(1, 64, 64)).unwrap();
    let found = graphs
        .into_iter()
        .find(|(name, ..)| name == "visual_backbone");
    found.unwrap().2
}

#[test]
fn every_form_of_a_name_leads_to_its_module() {
    let graph = backbone();
    let map = LayerMap::new(&graph);
    let block = "backbone.0.body.layers.0.blocks.1";
    let (softmax, norm) = (
        format!("{block}.attn/Softmax"),
        format!("{block}.norm2/LayerNormalization"),
    );
    for node in [&softmax, &norm] {
        assert!(graph.nodes().iter().any(|n| n.name == **node), "{node}");
    }
    let scope = |layer: &str| map.origin(layer).scope;
    let attn = Some(format!("{block}.attn"));
    // Forms that TensorRT gives to names of layers.
    for layer in [
        softmax.clone(),
        format!("Reformatting CopyNode for Input Tensor 0 to {softmax}"),
        format!("{softmax}:out copy"),
        format!("{softmax}_output_0"),
        format!("PWN(PWN({softmax}), {softmax})"),
        format!("[ONNX Layer: {softmax}]\u{1e}[ONNX Layer: {softmax}]"),
    ] {
        assert_eq!(scope(&layer), attn, "{layer}");
    }
    assert_eq!(
        scope(&format!("{softmax} + {norm}")),
        Some(block.to_owned())
    );
    // A stretch holds all nodes between its ends.
    let stretch = map.origin(&format!("{{ForeignNode[{softmax}...{norm}]}}"));
    assert_eq!(stretch.scope, Some(block.to_owned()));
    assert!(stretch.nodes.len() > 2);
    assert_eq!(scope("__myl_FcMulAdd_myl0_7"), None);
    // Node 1 is not node 10.
    let longer = graph
        .nodes()
        .iter()
        .find(|n| n.name.ends_with("_10"))
        .unwrap();
    assert_eq!(map.origin(&longer.name).nodes.join("|"), longer.name);
    // Every node is found by its own name.
    for node in graph.nodes() {
        assert_eq!(scope(&node.name).as_deref(), Some(node.scope()));
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn a_layer_profile_is_summed_by_module() {
    let graph = backbone();
    let block = "backbone.0.body.layers.0.blocks.1";
    let profile = file(&format!(
        "[\n  {{ \"count\" : 4 }}\n\
         , {{ \"name\" : \"{block}.attn/Softmax\", \"timeMs\" : 8, \"averageMs\" : 2, \"medianMs\" : 2, \"percentage\" : 40 }}\n\
         , {{ \"name\" : \"{block}.norm2/LayerNormalization + {block}.attn/Softmax\", \"timeMs\" : 4, \"averageMs\" : 1, \"percentage\" : 20 }}\n\
         , {{ \"name\" : \"__myl_Fc_myl0_7\", \"timeMs\" : 4, \"averageMs\" : 1, \"percentage\" : 20 }}\n\
         , {{ \"name\" : \"__myl_Fc_myl0_8\", \"timeMs\" : 4, \"averageMs\" : 1, \"percentage\" : 20 }}\n]\n"
    ));
    let info = file(&format!(
        "{{\"Layers\": [\"plain\", {{\"Name\": \"__myl_Fc_myl0_7\", \"LayerType\": \"kgen\", \
         \"Metadata\": \"[ONNX Layer: {block}.attn/Softmax]\"}}], \"Bindings\": [\"frames\"]}}"
    ));
    let read = trtexec::read_profile(profile.path()).unwrap();
    let described: HashMap<String, String> = trtexec::read_layer_info(info.path()).unwrap();
    assert_eq!(read.runs, 4);
    let stage = StageProfile::new(
        "visual_backbone",
        &graph,
        &read.layers,
        read.runs,
        99,
        &|layer| described.get(layer).cloned(),
    );
    assert_eq!(stage.ms, 5.0);
    assert!((stage.mapped - 0.8).abs() < 1e-12);
    // The last layer names nothing and follows one of the attention's.
    assert!((stage.inferred - 0.2).abs() < 1e-12);
    let first = &stage.scopes[0];
    assert_eq!(first.scope, format!("visual_backbone.{block}.attn"));
    assert_eq!((first.layers, first.ms), (3, 4.0));
    assert_eq!(stage.operators.iter().map(|o| o.ms).sum::<f64>(), 5.0);
}

#[test]
fn times_of_both_generations_of_trtexec() {
    let new = file(
        r#"[{"startEnqMs": 0.5, "endEnqMs": 1.5, "startH2dMs": 0.1, "endH2dMs": 0.2, "startComputeMs": 0.3, "endComputeMs": 2.3,
            "startD2hMs": 2.3, "endD2hMs": 2.4, "h2dMs": 0.1, "computeMs": 2.0, "d2hMs": 0.1, "latencyMs": 2.2}]"#,
    );
    let times = trtexec::read_times(new.path()).unwrap();
    assert_eq!(times.enqueue.unwrap().p50_ms, 1.0);
    assert_eq!((times.compute.p50_ms, times.latency.p50_ms), (2.0, 2.2));
    let old = file(
        r#"[{"startInMs": 0, "endInMs": 1, "startComputeMs": 1, "endComputeMs": 3, "startOutMs": 3, "endOutMs": 4,
            "inMs": 1, "computeMs": 2, "outMs": 1, "latencyMs": 4, "endToEndMs": 4}]"#,
    );
    let times = trtexec::read_times(old.path()).unwrap();
    assert_eq!(times.enqueue, None);
    assert_eq!(times.host_to_device.p50_ms, 1.0);
    for bad in ["[]", "{}", "[{\"latencyMs\": 1", "[{\"latencyMs\": 1}]"] {
        let bad = file(bad);
        let error = trtexec::read_times(bad.path()).unwrap_err().to_string();
        assert!(error.contains("--exportTimes"), "{error}");
        let error = trtexec::read_profile(bad.path()).unwrap_err().to_string();
        assert!(error.contains("--exportProfile"), "{error}");
    }
}
