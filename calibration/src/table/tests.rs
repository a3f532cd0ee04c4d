use std::fs;

use super::*;

fn table() -> RangeTable {
    let range = Range {
        amax: 1.1,
        min: -3.4e38,
        max: 0.1,
        smallest: 1e-45,
        samples: u64::MAX,
    };
    let stage = StageRanges {
        graph: "aa".to_owned(),
        tensors: BTreeMap::from([("conv1/Conv:out".to_owned(), range)]),
    };
    RangeTable {
        format_version: FORMAT_VERSION,
        tool_version: "0.1.0".to_owned(),
        method: Method::Percentile(99.9),
        checkpoint: "ff".to_owned(),
        data: "data".to_owned(),
        split: "calib".to_owned(),
        clips: 1,
        expressions: 2,
        stages: BTreeMap::from([("fusion".to_owned(), stage)]),
    }
}

#[test]
fn what_is_written_is_read() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("table.json");
    let table = table();
    table.write(&path).unwrap();
    assert_eq!(RangeTable::read(&path).unwrap(), table);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

fn refusal(contents: &[u8]) -> String {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("table.json");
    fs::write(&path, contents).unwrap();
    let text = RangeTable::read(&path).unwrap_err().to_string();
    assert!(text.contains("table.json"), "{text}");
    text
}

#[test]
fn what_is_no_table_is_refused() {
    let text = serde_json::to_string(&table()).unwrap();
    assert!(refusal(&text.as_bytes()[..text.len() / 2]).contains("no range table: EOF"));
    assert!(refusal(br#"{"stages": {}}"#).contains("format_version"));
    assert!(refusal(br#"{"format_version": 1, "stages": []}"#).contains("no range table"));
    assert!(refusal(&[0xff, 0xfe]).contains("not text"));
    assert!(refusal(br#"{"format_version": 9}"#).contains("version 9"));
    let inverted = text.replace("\"max\":0.1", "\"max\":-3.402e38");
    assert!(refusal(inverted.as_bytes()).contains("conv1/Conv:out"));
}

#[test]
fn a_folder_is_no_table() {
    let temp = tempfile::tempdir().unwrap();
    let text = RangeTable::read(temp.path()).unwrap_err().to_string();
    assert!(text.contains("not a file"), "{text}");
}

#[test]
fn another_graph_is_refused_by_name() {
    let table = table();
    assert_eq!(table.stage("fusion", "aa").unwrap().tensors.len(), 1);
    let text = table.stage("fusion", "bb").unwrap_err().to_string();
    for part in ["`fusion`", "aa", "bb", "socc calibrate"] {
        assert!(text.contains(part), "{text}");
    }
    let text = table.stage("temporal", "aa").unwrap_err().to_string();
    assert!(
        text.contains("`temporal`") && text.contains("fusion"),
        "{text}"
    );
}
