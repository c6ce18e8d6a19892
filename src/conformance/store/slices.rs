//! Reading by prefix, by position and by key.

use bytes::Bytes;

use super::{Script, script_list, statements::*};
use crate::{
    conformance::{
        Bench,
        session::{Outcome, Session, check},
    },
    store::{Row, Select},
    table::{Value, checkpoint::CHECKPOINTS, presence::PRESENCE},
};

script_list! {
    a_partition_that_was_never_written_is_empty,
    a_slice_keeps_to_its_prefix,
    a_slice_begins_after_where_it_is_told,
    a_descending_slice_is_the_reverse,
    a_limit_is_kept_in_both_directions,
    keys_are_read_in_order_without_the_absent,
    texts_are_ordered_by_their_bytes,
    integers_are_ordered_by_value,
}

fn a_partition_that_was_never_written_is_empty(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let key = [Value::text("u"), Value::text("s")].into();
    for select in [slice(&[]), slice(&[Value::text("u")]), Select::Keys(vec![key])] {
        let rows = session.read("read", query(&PRESENCE, bucket, select.clone()))?;
        check(&format!("{select:?}"), &rows, &vec![])?;
    }
    Ok(())
}

fn a_slice_keeps_to_its_prefix(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = filled(bench, bucket)?;
    check("of one user", &sessions(&mut session, bucket, of_user("u"))?, &texts(&["", "a", "b", "c"]))?;
    check("of a user that is a prefix of others", &sessions(&mut session, bucket, of_user(""))?, &vec![])?;
    check("of nobody", &sessions(&mut session, bucket, of_user("uu"))?, &vec![])?;
    let whole = [Value::text("u"), Value::text("b")];
    check("of one row", &sessions(&mut session, bucket, slice(&whole))?, &texts(&["b"]))
}

fn a_slice_begins_after_where_it_is_told(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = filled(bench, bucket)?;
    for (after, left) in [("", &["a", "b", "c"][..]), ("a", &["b", "c"]), ("bb", &["c"]), ("c", &[])] {
        let select = after_session(after, false, 100);
        check(&format!("after {after:?}"), &sessions(&mut session, bucket, select)?, &texts(left))?;
    }
    let users =
        Select::Slice { prefix: [].into(), after: Some(Value::text("u")), descending: false, limit: 9 };
    check("users after one", &sessions(&mut session, bucket, users)?, &texts(&["z"]))
}

fn a_descending_slice_is_the_reverse(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = filled(bench, bucket)?;
    let prefix = [Value::text("u")];
    let all = Select::Slice { prefix: prefix.into(), after: None, descending: true, limit: 100 };
    check("all", &sessions(&mut session, bucket, all)?, &texts(&["c", "b", "a", ""]))?;
    for (after, left) in [("c", &["b", "a", ""][..]), ("aa", &["a", ""]), ("", &[])] {
        let select = after_session(after, true, 100);
        check(&format!("before {after:?}"), &sessions(&mut session, bucket, select)?, &texts(left))?;
    }
    Ok(())
}

fn a_limit_is_kept_in_both_directions(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = filled(bench, bucket)?;
    let forward = sessions(&mut session, bucket, after_session("", false, 2))?;
    check("forward", &forward, &texts(&["a", "b"]))?;
    let backward = sessions(&mut session, bucket, after_session("c", true, 1))?;
    check("backward", &backward, &texts(&["b"]))
}

fn keys_are_read_in_order_without_the_absent(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = filled(bench, bucket)?;
    let key = |user: &str, session: &str| [Value::text(user), Value::text(session)].into();
    let keys = vec![key("z", "z"), key("u", "c"), key("u", "absent"), key("u", ""), key("nobody", "")];
    check("the rows", &sessions(&mut session, bucket, Select::Keys(keys))?, &texts(&["", "c", "z"]))?;
    let none = sessions(&mut session, bucket, Select::Keys(vec![key("nobody", "")]))?;
    check("absent ones alone", &none, &vec![])
}

fn texts_are_ordered_by_their_bytes(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let shuffled = ["é", "~", "", "a", "Z", "aa", "€", "b", "😀", "0", "Ａ"];
    let rows = shuffled.map(|name| session_row("u", name, "x", 1)).to_vec();
    session.write("write", presence(bucket, rows))?;
    let mut expected = shuffled.map(str::to_owned).to_vec();
    expected.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    check("the order", &sessions(&mut session, bucket, slice(&[]))?, &expected)
}

fn integers_are_ordered_by_value(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let numbers = [7, -1, 0, i32::MAX, i32::MIN, 256, -256];
    let chunks = numbers.map(|number| chunk(0, number, Bytes::new(), 1)).to_vec();
    session.write("write", checkpoints(bucket, chunks))?;
    let rows = session.read("read", query(&CHECKPOINTS, bucket, slice(&[Value::Int(0)])))?;
    let got: Vec<_> = rows.iter().filter_map(|row| row.clustering[1].as_int()).collect();
    let mut expected = numbers.to_vec();
    expected.sort_unstable();
    check("the order", &got, &expected)
}

/// Four sessions of a user, and one of a user on either side.
fn filled<'a>(bench: &'a mut dyn Bench, bucket: i32) -> Outcome<Session<'a>> {
    let mut session = Session::new(bench);
    let names = [("u", "b"), ("u", ""), ("z", "z"), ("u", "c"), ("t", "t"), ("u", "a")];
    let rows = names.map(|(user, name)| session_row(user, name, "x", 1)).to_vec();
    session.write("write the rows", presence(bucket, rows))?;
    Ok(session)
}

fn of_user(user: &str) -> Select {
    slice(&[Value::text(user)])
}

fn after_session(after: &str, descending: bool, limit: u32) -> Select {
    Select::Slice { prefix: [Value::text("u")].into(), after: Some(Value::text(after)), descending, limit }
}

fn sessions(session: &mut Session<'_>, bucket: i32, select: Select) -> Outcome<Vec<String>> {
    let rows = session.read("read the rows", query(&PRESENCE, bucket, select))?;
    let name = |row: &Row| row.clustering[1].as_text().unwrap_or("null").to_owned();
    Ok(rows.iter().map(name).collect())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
