//! Records of a later version of their formats: what a newer client or worker adds is ignored by an older
//! one.

use bytes::Bytes;

use crate::{
    log::{LogCommand, Transaction, TransactionStep},
    topology::Topic,
};

/// Above this a record may be near its limit.
const BYTES_MAX: usize = 100_000;

/// A JSON object with a field more than this version knows.
pub(super) fn with_more(value: &[u8]) -> Option<Bytes> {
    let body = value.strip_suffix(b"}").filter(|body| body.len() < BYTES_MAX)?;
    Some([body, br#","later":{"versions":["may",1]}}"#].concat().into())
}

/// Writes internal records as a later version of the worker would; whether there were any.
pub(super) fn write_as_newer(command: &mut LogCommand) -> bool {
    let LogCommand::Transact(Transaction { steps, .. }) = command else { return false };
    let mut any = false;
    for step in steps {
        let TransactionStep::Records(records) = step else { continue };
        for record in records.iter_mut().filter(|record| record.topic == Topic::Deliveries) {
            if let Some(value) = record.value.as_deref().and_then(with_more) {
                record.value = Some(value);
                any = true;
            }
        }
    }
    any
}
