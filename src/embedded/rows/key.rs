//! Keys of rows: the order of their bytes is CQL's clustering order, column by column.
//!
//! No encoding is a prefix of another one of the same kind, so a slice of rows is a range of keys. Integers
//! have their sign flipped; text and blobs end with `00 00`, and a zero byte inside is written as `00 ff`.

use crate::table::{Kind, Value};

const END: [u8; 2] = [0, 0];
const ZERO: [u8; 2] = [0, 0xff];

/// Appends a value; false when it is null, which no key may be.
#[must_use]
pub(in crate::embedded) fn encode(key: &mut Vec<u8>, value: &Value) -> bool {
    match value {
        Value::Null => return false,
        Value::Int(number) => key.extend_from_slice(&(number ^ i32::MIN).to_be_bytes()),
        Value::BigInt(number) => key.extend_from_slice(&(number ^ i64::MIN).to_be_bytes()),
        Value::Boolean(value) => key.push(u8::from(*value)),
        Value::Text(text) => escape(key, text.as_bytes()),
        Value::Blob(bytes) => escape(key, bytes),
    }
    true
}

/// Takes a value of this kind off the front of `key`; `None` when there is none.
pub(in crate::embedded) fn decode(kind: Kind, key: &mut &[u8]) -> Option<Value> {
    Some(match kind {
        Kind::Int => Value::Int(i32::from_be_bytes(take(key)?) ^ i32::MIN),
        Kind::BigInt => Value::BigInt(i64::from_be_bytes(take(key)?) ^ i64::MIN),
        Kind::Boolean => match take(key)? {
            [0] => Value::Boolean(false),
            [1] => Value::Boolean(true),
            _ => return None,
        },
        Kind::Text => Value::Text(String::from_utf8(unescape(key)?).ok()?.into()),
        Kind::Blob => Value::blob(unescape(key)?),
    })
}

/// The least key above every key that starts with `prefix`.
pub(in crate::embedded) fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            break;
        }
    }
    prefix
}

fn escape(key: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            0 => key.extend_from_slice(&ZERO),
            _ => key.push(*byte),
        }
    }
    key.extend_from_slice(&END);
}

fn unescape(key: &mut &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match *key {
            [0, 0, rest @ ..] => {
                *key = rest;
                return Some(bytes);
            }
            [0, 0xff, rest @ ..] => {
                bytes.push(0);
                *key = rest;
            }
            [0, ..] | [] => return None,
            [byte, rest @ ..] => {
                bytes.push(*byte);
                *key = rest;
            }
        }
    }
}

fn take<const N: usize>(key: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = key.split_first_chunk::<N>()?;
    *key = rest;
    Some(*bytes)
}

#[cfg(test)]
mod tests;
