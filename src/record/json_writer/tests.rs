use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same((text, integer, boolean) in any::<(String, i64, bool)>()) {
        let mut writer = JsonWriter::record("sample", 0);
        writer.text("text", &text);
        writer.optional_text("absent", None);
        writer.begin_object("inner");
        writer.integer("integer", integer);
        writer.boolean("boolean", boolean);
        writer.end_object();
        writer.begin_array("parts");
        for _ in 0..2 {
            writer.begin_part();
            writer.raw("raw", "[1]");
            writer.end_object();
        }
        writer.end_array();
        writer.end_object();
        let read: serde_json::Value = serde_json::from_slice(&writer.into_vec()).unwrap();
        let expected = serde_json::json!({
            "v": 1, "type": "sample", "text": text, "inner": {"integer": integer, "boolean": boolean},
            "parts": [{"raw": [1]}, {"raw": [1]}],
        });
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn every_control_character_is_escaped() {
    let text: String = (0..0x80_u8).map(char::from).collect();
    let mut writer = JsonWriter::record("sample", 0);
    writer.text("text", &text);
    writer.end_object();
    let bytes = writer.into_vec();
    assert!(bytes.iter().all(|byte| *byte >= 0x20));
    let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(read["text"], text);
}
