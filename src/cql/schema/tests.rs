use std::fs;

use crate::table::{Kind, Stage, TABLES, Writing, column};

use super::{files::statements, tables::Found, *};

#[test]
fn the_list_of_migrations_is_the_directory() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/table");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    let listed: Vec<_> = MIGRATIONS.iter().map(|known| (known.file_name(), known.text.to_owned())).collect();
    assert_eq!(files, listed);
    let ids: Vec<_> = MIGRATIONS.iter().map(|migration| migration.id).collect();
    assert_eq!(ids, (1..=i32::try_from(MIGRATIONS.len()).unwrap()).collect::<Vec<_>>());
}

#[test]
fn every_table_is_created_as_described() {
    let created: Vec<(String, Vec<Found>)> =
        MIGRATIONS.iter().flat_map(|migration| statements(migration.text)).map(|text| parse(&text)).collect();
    for table in TABLES {
        let found: Vec<_> = created.iter().filter(|(name, _)| name == table.name).collect();
        let [(_, columns)] = found.as_slice() else {
            panic!("{} is created {} times", table.name, found.len())
        };
        assert_eq!(compare(table, columns), [], "{}", table.name);
        let described = [table.partition, table.clustering, table.statics, table.cells].concat();
        assert_eq!(columns.len(), described.len(), "{} has columns that nobody writes", table.name);
    }
    assert_eq!(created.len(), TABLES.len(), "a table without a description");
}

#[test]
fn a_table_that_differs_in_any_way_is_noticed() {
    static TABLE: Table = Table {
        name: "heads",
        partition: &[column("bucket", Kind::Int)],
        clustering: &[column("user", Kind::Text), column("seq", Kind::BigInt)],
        statics: &[column("origin", Kind::BigInt)],
        cells: &[column("body", Kind::Blob)],
        stage: Stage::First,
        writing: Writing::InPlace,
    };
    let right = "CREATE TABLE IF NOT EXISTS heads (bucket int, user text, seq bigint, origin bigint static, \
                 body blob, further text, PRIMARY KEY ((bucket), user, seq)) WITH gc_grace_seconds = 1";
    let differences = |text: &str| compare(&TABLE, &parse(text).1);
    assert_eq!(differences(right), []);
    assert_eq!(compare(&TABLE, &[]), [Difference::NoTable { table: "heads" }]);
    let changes = [
        ("bucket int", "bucket bigint", "column bucket of heads is partition_key 0 bigint and must be"),
        ("body blob,", "", "column body of heads is missing"),
        (
            "origin bigint static",
            "origin bigint",
            "column origin of heads is regular bigint and must be static",
        ),
        ("((bucket), user, seq)", "((bucket), seq, user)", "column user of heads is clustering 1 text"),
        ("((bucket), user, seq)", "((bucket, user), seq)", "column user of heads is partition_key 1 text"),
        ("user, seq)", "user, seq, further)", "column further of heads is clustering 2 text and must be no"),
        ("WITH gc_grace_seconds = 1", "WITH CLUSTERING ORDER BY (user DESC, seq ASC)", "text descending"),
    ];
    for (from, to, sentence) in changes {
        assert!(right.contains(from));
        let found = difference::sentence(&differences(&right.replace(from, to)));
        assert!(found.contains(sentence), "{to}: {found}");
    }
}

#[test]
fn a_migration_is_the_same_until_a_statement_changes() {
    let checksum = |text| Migration { id: 1, name: "one", text }.checksum();
    let first = checksum("-- why\nCREATE TABLE a (id int);\n");
    assert_eq!(checksum("-- why not\r\nCREATE  TABLE a\r\n(id int);"), first);
    assert_ne!(checksum("CREATE TABLE a (id bigint);"), first);
    assert_ne!(checksum("CREATE TABLE a (id int); DROP TABLE b;"), first);
    assert_ne!(checksum("CREATE TABLE; a (id int);"), first);
}

#[test]
fn statements_end_at_semicolons_outside_of_texts_and_comments() {
    assert_eq!(statements("-- a; b\n;;"), Vec::<String>::new());
    assert_eq!(statements("A 'x;''--' - 1; -- c;\nB \"y;\" ;C"), ["A 'x;''--' - 1", "B \"y;\"", "C"],);
    assert_eq!(statements("A 'never ended; --"), ["A 'never ended; --"]);
}

#[test]
fn what_was_applied_and_is_not_as_here_is_drift() {
    static KNOWN: &[Migration] = &[Migration { id: 1, name: "one", text: "CREATE TABLE a (id int)" }];
    let applied = |id: i32, checksum: &str| (id, Applied { name: "one".into(), checksum: checksum.into() });
    let same = KNOWN[0].checksum();
    assert_eq!(drift(&BTreeMap::from([applied(1, &same)]), KNOWN), []);
    assert_eq!(drift(&BTreeMap::new(), KNOWN), []);
    assert_eq!(
        drift(&BTreeMap::from([applied(1, "00000000"), applied(2, &same)]), KNOWN),
        [
            Difference::Edited { name: "0001_one.cql".into() },
            Difference::Unknown { id: 2, name: "one".into() }
        ],
    );
}

/// The table's name and columns of a `CREATE TABLE` of the plain form that the files keep to.
fn parse(text: &str) -> (String, Vec<Found>) {
    let rest = text.strip_prefix("CREATE TABLE IF NOT EXISTS ").expect(text);
    let (name, rest) = rest.split_once('(').expect(text);
    let (columns, rest) = rest.split_once("PRIMARY KEY ((").expect(text);
    let (partition, rest) = rest.split_once(')').expect(text);
    let (clustering, options) = rest.split_once(')').expect(text);
    let key = |names: &str| -> Vec<String> {
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let (partition, clustering) = (key(partition), key(clustering));
    let position = |key: &[String], name: &str| key.iter().position(|column| column == name);
    let columns = columns.split(',').map(str::trim).filter(|column| !column.is_empty()).map(|column| {
        let words: Vec<_> = column.split_whitespace().collect();
        let name = words[0];
        let (place, position) = match (position(&partition, name), position(&clustering, name)) {
            (Some(at), _) => ("partition_key", i32::try_from(at).unwrap()),
            (_, Some(at)) => ("clustering", i32::try_from(at).unwrap()),
            _ if words.get(2) == Some(&"static") => ("static", -1),
            _ => ("regular", -1),
        };
        let descending = options.contains(&format!("{name} DESC"));
        let (name, place, cql_type) = (name.to_owned(), place.to_owned(), words[1].to_owned());
        Found { name, place, position, cql_type, descending }
    });
    (name.trim().to_owned(), columns.collect())
}
