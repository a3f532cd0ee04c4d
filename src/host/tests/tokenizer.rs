use std::fs;

use serde::Deserialize;

use super::{fixture, json};
use crate::host::HostError;
use crate::host::tokenizer::{TextTokenizer, normalise_expression};

#[derive(Deserialize)]
struct Case {
    text: String,
    json: Vec<i64>,
    parts: Vec<i64>,
}

#[test]
fn ids_are_those_of_hugging_face() {
    let folder = fixture("tokenizer");
    let text = fs::read(folder.join("tokenizer.json")).unwrap();
    let parts = tempfile::tempdir().unwrap();
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(folder.join(name), parts.path().join(name)).unwrap();
    }
    let from_json = TextTokenizer::from_dir(&folder).unwrap();
    let from_bytes = TextTokenizer::from_bytes(&text).unwrap();
    let from_parts = TextTokenizer::from_dir(parts.path()).unwrap();
    let cases: Vec<Case> = json("tokenizer/expected.json");
    assert!(cases.len() >= 20);
    for Case { text, json, parts } in cases {
        assert_eq!(from_json.encode(&text, 512).unwrap(), json, "{text:?}");
        assert_eq!(from_bytes.encode(&text, 512).unwrap(), json, "{text:?}");
        assert_eq!(from_parts.encode(&text, 512).unwrap(), parts, "{text:?}");
    }
}

#[test]
fn sentences_are_cleaned_as_the_official_datasets_do() {
    let cases: Vec<(String, String)> = json("tokenizer/cleaned.json");
    for (text, expected) in cases {
        assert_eq!(normalise_expression(&text), expected, "{text:?}");
    }
}

#[test]
fn blank_and_overlong_sentences_are_refused() {
    let tokenizer = TextTokenizer::from_dir(&fixture("tokenizer")).unwrap();
    for blank in ["", "  \t\n", "\u{3000}"] {
        let error = tokenizer.encode(blank, 512).unwrap_err();
        assert!(matches!(error, HostError::Expression { .. }), "{error}");
    }
    let long = "\u{e9}".repeat(200);
    let error = tokenizer.encode(&long, 64).unwrap_err().to_string();
    assert!(error.contains("takes 64") && error.len() < 300, "{error}");
}

#[test]
fn damaged_tokenizer_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let load = || TextTokenizer::from_dir(folder.path()).err().unwrap();
    assert!(load().to_string().contains("vocab.json"));
    fs::write(folder.path().join("vocab.json"), "{\"a\": 0}").unwrap();
    fs::write(folder.path().join("merges.txt"), "#version: 0.2\n").unwrap();
    assert!(load().to_string().contains("</s>"));
    fs::write(folder.path().join("merges.txt"), "a b c\n").unwrap();
    assert!(matches!(load(), HostError::Tokenizer { .. }));
    fs::write(folder.path().join("tokenizer.json"), "{").unwrap();
    assert!(matches!(load(), HostError::Tokenizer { .. }));
}
