use super::*;
use crate::table::inbox::{HEADS, bucket_partition};

fn query(pages: &Pages<i64>) -> Query {
    Query { table: &HEADS, partition: bucket_partition(0), select: pages.next() }
}

fn statics(origin: i64) -> Row {
    Row { clustering: Box::default(), cells: [Value::BigInt(origin)].into() }
}

fn rows(from: u32, count: u32) -> Vec<Row> {
    let row = |number: u32| Row {
        clustering: [Value::text(&format!("{number:06}"))].into(),
        cells: Box::default(),
    };
    (from..from + count).map(row).collect()
}

fn take(pages: &mut Pages<i64>, answer: &[Row]) -> (Progress, usize) {
    let query = query(pages);
    let taken = pages.take(&query, answer, |cells| Ok(cells[0].as_big_int().unwrap_or_default()));
    let (progress, rows) = taken.expect("cells of the product");
    (progress, rows.len())
}

#[test]
fn a_short_first_page_is_the_whole() {
    let mut pages = Pages::default();
    assert_eq!(take(&mut pages, &[]), (Progress::Whole, 0));
    let mut pages = Pages::default();
    let answer = [vec![statics(7)], rows(0, 3)].concat();
    assert_eq!(take(&mut pages, &answer), (Progress::Whole, 3));
    assert_eq!(pages.head, Some(7));
}

#[test]
fn several_pages_are_whole_when_the_static_cells_are_still_the_same() {
    let mut pages = Pages::default();
    let page = |from| [vec![statics(7)], rows(from, PAGE_ROWS_MAX)].concat();
    assert_eq!(take(&mut pages, &page(0)).0, Progress::More);
    assert_eq!(take(&mut pages, &page(PAGE_ROWS_MAX)).0, Progress::More);
    assert_eq!(take(&mut pages, &[]).0, Progress::More, "there may be something new by now");
    assert_eq!(pages.next(), Select::Statics);
    assert_eq!(take(&mut pages, &[statics(7)]).0, Progress::Whole);
}

#[test]
fn pages_of_different_moments_are_thrown_away() {
    let first = [vec![statics(7)], rows(0, PAGE_ROWS_MAX)].concat();
    let later = [vec![statics(8)], rows(PAGE_ROWS_MAX, 2)].concat();
    let mut pages = Pages::default();
    take(&mut pages, &first);
    assert_eq!(take(&mut pages, &later), (Progress::Torn, 0));
    let begin = Select::Page { after: None, limit: PAGE_ROWS_MAX };
    assert_eq!(pages.next(), begin);
    let mut pages = Pages::default();
    take(&mut pages, &first);
    take(&mut pages, &[]);
    assert_eq!(take(&mut pages, &[statics(8)]).0, Progress::Torn, "it changed behind the last page");
    assert_eq!(pages.next(), begin);
}
