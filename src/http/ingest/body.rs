//! A body as a sequence of records, each with its exact bytes.
//!
//! Lines are only told apart here: who decodes a record judges its bytes.

use serde_json::value::RawValue;

use super::super::error::ApiError;

/// The bytes of one record, of an array of records, or of one record a line, in their order. An error only
/// when nothing could be read at all.
pub fn read<'a>(content_type: Option<&str>, body: &'a [u8]) -> Result<Vec<&'a [u8]>, ApiError> {
    let nothing = |message: String| Err(ApiError::bad_request("unreadable", message));
    let lines = content_type.is_some_and(|name| name.contains("ndjson") || name.contains("jsonl"));
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => nothing(
            "the body is empty; send one record, an array of records, or one record a line".to_owned(),
        ),
        Some(b'[') if !lines => match serde_json::from_slice::<Vec<&RawValue>>(body) {
            Ok(records) => Ok(records.into_iter().map(|record| record.get().as_bytes()).collect()),
            Err(error) => nothing(format!("the array is no JSON: {error}")),
        },
        Some(_) => {
            if let (false, Ok(record)) = (lines, serde_json::from_slice::<&RawValue>(body)) {
                return Ok(vec![record.get().as_bytes()]);
            }
            let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
            let mut problem = None;
            for line in &lines {
                match serde_json::from_slice::<&RawValue>(line) {
                    Ok(_) => return Ok(lines),
                    Err(error) => problem = problem.or(Some(error)),
                }
            }
            let problem = problem.map_or_else(String::new, |error| error.to_string());
            nothing(format!("no line is JSON: {problem}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    fn texts<'a>(content_type: Option<&str>, body: &'a str) -> Result<Vec<&'a str>, String> {
        let parts = read(content_type, body.as_bytes()).map_err(|error| error.message)?;
        Ok(parts.into_iter().map(|part| std::str::from_utf8(part).expect("a part of a text")).collect())
    }

    #[test]
    fn one_record_keeps_its_bytes() {
        assert_eq!(texts(None, " {\n \"a\" : 1.0 }\n"), Ok(vec!["{\n \"a\" : 1.0 }"]));
    }

    #[test]
    fn an_array_keeps_the_bytes_of_its_elements() {
        assert_eq!(texts(None, "[{\"a\": 1} , 2]"), Ok(vec!["{\"a\": 1}", "2"]));
        assert_eq!(texts(None, "[]"), Ok(vec![]));
    }

    #[test]
    fn lines_are_told_apart_and_a_bad_one_spoils_no_other() {
        let body = "{\"a\":1}\r\n\n{oops\n{\"b\":2}";
        assert_eq!(texts(None, body), Ok(vec!["{\"a\":1}", "{oops", "{\"b\":2}"]));
        assert_eq!(texts(Some("application/x-ndjson"), "[1]\n[2]"), Ok(vec!["[1]", "[2]"]));
    }

    #[test]
    fn a_body_in_which_nothing_can_be_read_is_an_error() {
        assert!(texts(None, " \n ").is_err_and(|message| message.contains("empty")));
        assert!(texts(None, "[{\"a\":1},").is_err_and(|message| message.contains("array")));
        assert!(texts(None, "hello\nworld").is_err_and(|message| message.contains("no line")));
        assert!(read(None, b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }
}
