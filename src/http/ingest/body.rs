//! A body as a sequence of records, each with its exact bytes.

use serde_json::value::RawValue;

use super::super::error::ApiError;

/// The parts of a body in order: a record's bytes, or why there is none.
pub type Parts<'a> = Vec<Result<&'a [u8], String>>;

/// Reads one record, an array of records, or one record a line. An error only when nothing could be read at
/// all.
pub fn read<'a>(content_type: Option<&str>, body: &'a [u8]) -> Result<Parts<'a>, ApiError> {
    let nothing = |message: String| Err(ApiError::bad_request("unreadable", message));
    let lines = content_type.is_some_and(|name| name.contains("ndjson") || name.contains("jsonl"));
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => nothing(
            "the body is empty; send one record, an array of records, or one record a line".to_owned(),
        ),
        Some(b'[') if !lines => match serde_json::from_slice::<Vec<&RawValue>>(body) {
            Ok(records) => Ok(records.into_iter().map(|record| Ok(record.get().as_bytes())).collect()),
            Err(error) => nothing(format!("the array is no JSON: {error}")),
        },
        Some(_) => {
            if let (false, Ok(record)) = (lines, serde_json::from_slice::<&RawValue>(body)) {
                return Ok(vec![Ok(record.get().as_bytes())]);
            }
            let parts: Parts<'_> = body.split(|byte| *byte == b'\n').filter_map(line).collect();
            match parts.iter().find_map(|part| part.as_ref().err()) {
                Some(error) if parts.iter().all(Result::is_err) => {
                    nothing(format!("no line is JSON: {error}"))
                }
                _ => Ok(parts),
            }
        }
    }
}

/// A record's bytes without the white space around them; nothing for an empty line.
fn line(line: &[u8]) -> Option<Result<&[u8], String>> {
    let line = line.trim_ascii();
    (!line.is_empty()).then(|| match serde_json::from_slice::<&RawValue>(line) {
        Ok(record) => Ok(record.get().as_bytes()),
        Err(error) => Err(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    fn texts(content_type: Option<&str>, body: &str) -> Result<Vec<Result<String, ()>>, String> {
        let parts = read(content_type, body.as_bytes()).map_err(|error| error.message)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| ());
        Ok(parts.into_iter().map(|part| part.map_err(|_| ()).and_then(text)).collect())
    }

    fn ok(text: &str) -> Result<String, ()> {
        Ok(text.to_owned())
    }

    #[test]
    fn one_record_keeps_its_bytes() {
        assert_eq!(texts(None, " {\n \"a\" : 1.0 }\n"), Ok(vec![ok("{\n \"a\" : 1.0 }")]));
    }

    #[test]
    fn an_array_keeps_the_bytes_of_its_elements() {
        assert_eq!(texts(None, "[{\"a\": 1} , 2]"), Ok(vec![ok("{\"a\": 1}"), ok("2")]));
        assert_eq!(texts(None, "[]"), Ok(vec![]));
    }

    #[test]
    fn lines_are_read_one_by_one_and_a_bad_one_spoils_no_other() {
        let body = "{\"a\":1}\r\n\n{oops\n{\"b\":2}";
        assert_eq!(texts(None, body), Ok(vec![ok("{\"a\":1}"), Err(()), ok("{\"b\":2}")]));
        assert_eq!(texts(Some("application/x-ndjson"), "[1]\n[2]"), Ok(vec![ok("[1]"), ok("[2]")]));
    }

    #[test]
    fn a_body_in_which_nothing_can_be_read_is_an_error() {
        assert!(texts(None, " \n ").is_err_and(|message| message.contains("empty")));
        assert!(texts(None, "[{\"a\":1},").is_err_and(|message| message.contains("array")));
        assert!(texts(None, "hello\nworld").is_err_and(|message| message.contains("no line")));
        assert!(read(None, b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }
}
