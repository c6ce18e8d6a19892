//! The canonical layout of every type: what our own producers write and what the scanner reads fastest.

use std::borrow::Cow;

use super::{Beat, End, Field, Input, StatusChoice};
use crate::record::{beacon, json_writer::JsonWriter};

/// Encodes a valid record; of a batch only the valid parts, so that what is decoded from it counts them anew.
#[must_use]
pub fn encode(input: &Input<'_>) -> Vec<u8> {
    match input {
        Input::Heartbeat(beat) => {
            let mut writer = JsonWriter::record("heartbeat", 256);
            write_beat(&mut writer, beat, false);
            finish(writer)
        }
        Input::Heartbeats { beats, .. } => encode_beats(beats),
        Input::Goodbye(end) => {
            let mut writer = JsonWriter::record("goodbye", 160);
            write_end(&mut writer, end);
            finish(writer)
        }
        Input::Goodbyes { ends, .. } => {
            let mut writer = JsonWriter::record("goodbyes", 64 + ends.len() * 128);
            writer.begin_array("ends");
            for (_, end) in ends {
                writer.begin_part();
                write_end(&mut writer, end);
                writer.end_object();
            }
            writer.end_array();
            finish(writer)
        }
        Input::GatewayGone { gateway, before } => {
            let mut writer = JsonWriter::record("gateway_gone", 128);
            writer.text("gateway", gateway);
            if let Some(before) = before {
                writer.integer("before", *before);
            }
            finish(writer)
        }
        Input::Status(choice) => encode_status(choice),
        Input::Beacon(beacon) => {
            beacon::encode_beacon(&beacon.group, &beacon.incarnation, beacon.elapsed_ms, &beacon.parameters)
                .into()
        }
    }
}

/// A gateway that all beats share is said once.
fn encode_beats(beats: &[(u32, Beat<'_>)]) -> Vec<u8> {
    let mut writer = JsonWriter::record("heartbeats", 64 + beats.len() * 160);
    let first = beats.first().map(|(_, beat)| &beat.gateway);
    let shared = first.filter(|gateway| {
        matches!(gateway, Field::Given(_)) && beats.iter().all(|(_, beat)| beat.gateway == **gateway)
    });
    if let Some(gateway) = shared {
        write_text(&mut writer, "gateway", gateway);
    }
    writer.begin_array("beats");
    for (_, beat) in beats {
        writer.begin_part();
        write_beat(&mut writer, beat, shared.is_some());
        writer.end_object();
    }
    writer.end_array();
    finish(writer)
}

fn write_beat(writer: &mut JsonWriter, beat: &Beat<'_>, gateway_is_shared: bool) {
    writer.text("user", &beat.user);
    writer.text("session", &beat.session);
    write_epoch(writer, beat.epoch);
    writer.integer("counter", beat.counter);
    write_text(writer, "device", &beat.device);
    if !gateway_is_shared {
        write_text(writer, "gateway", &beat.gateway);
    }
    write_integer(writer, "lease_ms", beat.lease_ms);
    write_integer(writer, "idle_ms", beat.idle_ms);
    write_field(writer, "busy", &beat.busy, |writer, busy| writer.boolean("busy", *busy));
    write_field(writer, "metadata", &beat.metadata, |writer, json| writer.raw("metadata", json));
}

fn write_end(writer: &mut JsonWriter, end: &End<'_>) {
    writer.text("user", &end.user);
    writer.text("session", &end.session);
    write_epoch(writer, end.epoch);
    writer.integer("counter", end.counter);
    if end.after_ms != 0 {
        writer.integer("after_ms", end.after_ms);
    }
}

fn write_epoch(writer: &mut JsonWriter, epoch: i64) {
    if epoch != 0 {
        writer.integer("epoch", epoch);
    }
}

fn encode_status(choice: &StatusChoice<'_>) -> Vec<u8> {
    let mut writer = JsonWriter::record("status", 160);
    writer.text("user", &choice.user);
    write_field(&mut writer, "status", &choice.status, |writer, status| writer.text("status", status.name()));
    write_text(&mut writer, "status_text", &choice.status_text);
    write_text(&mut writer, "activity", &choice.activity);
    write_integer(&mut writer, "until", choice.until_ms);
    finish(writer)
}

fn write_text(writer: &mut JsonWriter, name: &str, field: &Field<Cow<'_, str>>) {
    write_field(writer, name, field, |writer, text| writer.text(name, text));
}

fn write_integer(writer: &mut JsonWriter, name: &str, field: Field<i64>) {
    write_field(writer, name, &field, |writer, integer| writer.integer(name, *integer));
}

fn write_field<T>(
    writer: &mut JsonWriter,
    name: &str,
    field: &Field<T>,
    write: impl FnOnce(&mut JsonWriter, &T),
) {
    match field {
        Field::LeftOut => {}
        Field::Null => writer.raw(name, "null"),
        Field::Given(value) => write(writer, value),
    }
}

fn finish(mut writer: JsonWriter) -> Vec<u8> {
    writer.end_object();
    writer.into_vec()
}
