//! Arbitrary valid records, and records that were valid once.
//!
//! Strategies are boxed: unboxed, their combined state overflows the stack of a test's thread.

use std::borrow::Cow;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::super::*;
use crate::{
    limits::{AFTER_MS_MAX, INTEGER_MAX, LEASE_MS_MAX, LEASE_MS_MIN},
    record::{
        beacon::Parameters,
        tests::strategy::{edited, id, integer},
    },
};

pub(super) fn input() -> impl Strategy<Value = Input<'static>> {
    let indexed = |count: usize| (0..).take(count);
    prop_oneof![
        beat().prop_map(Input::Heartbeat),
        vec(beat(), 0..4).prop_map(move |beats| Input::Heartbeats {
            beats: indexed(beats.len()).zip(beats).collect(),
            refused: Vec::new()
        }),
        end().prop_map(Input::Goodbye),
        vec(end(), 0..4).prop_map(move |ends| Input::Goodbyes {
            ends: indexed(ends.len()).zip(ends).collect(),
            refused: Vec::new()
        }),
        (id(), option::of(integer())).prop_map(|(gateway, before)| Input::GatewayGone { gateway, before }),
        choice().prop_map(Input::Status),
        beacon().prop_map(Input::Beacon),
    ]
}

/// The bytes of a valid record after a few edits; most are refused, some become other valid records.
pub(super) fn mutated_record() -> impl Strategy<Value = Vec<u8>> {
    let heartbeats = prop_oneof![
        4 => beat().prop_map(|beat| encode(&Input::Heartbeat(beat))),
        2 => vec(beat(), 0..3).prop_map(|beats| encode(&Input::Heartbeats {
            beats: (0..).zip(beats).collect(),
            refused: Vec::new()
        })),
        1 => input().prop_map(|input| encode(&input)),
    ];
    edited(heartbeats)
}

fn field<T: Clone + std::fmt::Debug + 'static>(
    given: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Field<T>> {
    prop_oneof![Just(Field::LeftOut), Just(Field::Null), given.prop_map(Field::Given)].boxed()
}

fn beat() -> BoxedStrategy<Beat<'static>> {
    const METADATA: &[&str] =
        &["{}", "{\"any\": \"json\"}", "[1,2.50,{\"a\":null}]", "\"\\u0061\"", "1e5", "false"];
    let required = (id(), id(), integer(), integer());
    let optional = (
        field(id()),
        field(id()),
        field(LEASE_MS_MIN..=LEASE_MS_MAX),
        field(0..=INTEGER_MAX),
        field(any::<bool>()),
    );
    (required, optional, field(select(METADATA)))
        .prop_map(|(required, optional, metadata)| {
            let (user, session, epoch, counter) = required;
            let (device, gateway, lease_ms, idle_ms, busy) = optional;
            Beat { user, session, epoch, counter, device, gateway, lease_ms, idle_ms, busy, metadata }
        })
        .boxed()
}

fn end() -> BoxedStrategy<End<'static>> {
    (id(), id(), integer(), integer(), 0..=AFTER_MS_MAX)
        .prop_map(|(user, session, epoch, counter, after_ms)| End { user, session, epoch, counter, after_ms })
        .boxed()
}

fn choice() -> BoxedStrategy<StatusChoice<'static>> {
    let text = || field(".{0,40}".prop_map(Cow::<str>::Owned));
    let status = field(select(&[Choice::Auto, Choice::Away, Choice::Busy, Choice::Invisible][..]));
    (id(), status, text(), text(), field(integer()))
        .prop_map(|(user, status, status_text, activity, until_ms)| StatusChoice {
            user,
            status,
            status_text,
            activity,
            until_ms,
        })
        .boxed()
}

fn beacon() -> BoxedStrategy<Beacon<'static>> {
    let span = || 0..=INTEGER_MAX;
    let parameters = (any::<u32>(), span(), span(), span(), any::<bool>(), span()).prop_map(
        |(fold_version, lease_ms, away_after_ms, busy_for_ms, brake, dwell_ms)| Parameters {
            fold_version,
            lease_ms,
            away_after_ms,
            busy_for_ms,
            brake,
            dwell_ms,
        },
    );
    (id(), id(), span(), parameters)
        .prop_map(|(group, incarnation, elapsed_ms, parameters)| Beacon {
            group,
            incarnation,
            elapsed_ms,
            parameters,
        })
        .boxed()
}
