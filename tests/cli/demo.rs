//! The demonstration finds what the sentences mean.

use crate::args;
use crate::support::{files, json, socc};

#[test]
fn the_small_model_finds_its_objects() {
    let temp = tempfile::tempdir().unwrap();
    let result = json(args!["demo", "-o", temp.path(), "--json"]);
    let expressions = result["expressions"].as_array().unwrap();
    assert_eq!(expressions.len(), 3);
    // The official PyTorch code reaches a mean IoU of 0.967, 0.957 and 0.968 with these weights.
    for (expression, j) in expressions.iter().zip([0.967, 0.957, 0.968]) {
        let got = expression["j"].as_f64().unwrap();
        assert!((got - j).abs() < 1e-3, "{expression}");
    }
    assert!(files(temp.path()).contains(&"overlays/2/00007.png".to_owned()));
    assert!(files(temp.path()).contains(&"animation.gif".to_owned()));
}

#[test]
fn the_table_has_a_line_per_expression() {
    let temp = tempfile::tempdir().unwrap();
    let output = socc(args!["demo", "-o", temp.path()]);
    assert!(output.status.success());
    // Quiet in a pipe.
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "J&F",
        "a blue circle moving up",
        "visual_backbone",
        "mask_head",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
