//! The cases of the public JSONTestSuite, as families that are generated rather than listed: what must be
//! accepted, what must be refused, and what the RFC leaves to the reader. Each is the text of one value.

/// The text of one value, or of what is none.
pub type Case = Vec<u8>;

fn cases<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Vec<Case> {
    texts.into_iter().map(|text| text.as_ref().to_vec()).collect()
}

/// All ways to take one of each.
fn product(parts: &[&[&str]]) -> Vec<String> {
    parts.iter().fold(vec![String::new()], |texts, part| {
        texts.iter().flat_map(|text| part.iter().map(move |next| [text, *next].concat())).collect()
    })
}

const SIGNS: &[&str] = &["", "-"];
const INTEGERS: &[&str] = &["0", "1", "9", "10", "123", "9007199254740993", "100000000000000000000000000000"];
const FRACTIONS: &[&str] = &["", ".0", ".5", ".00000000000000000000000000000000000001", ".1234567890"];
const EXPONENTS: &[&str] = &["", "e0", "E0", "e1", "E+2", "e-2", "E00", "e+05", "e-400"];

fn valid_numbers() -> Vec<Case> {
    cases(product(&[SIGNS, INTEGERS, FRACTIONS, EXPONENTS]))
}

/// Each number has one part that is wrong.
fn invalid_numbers() -> Vec<Case> {
    const BAD_SIGNS: &[&str] = &["+", "--", "+-", "-+", "++", "- ", "\u{2212}", "-x", "~"];
    const BAD_INTEGERS: &[&str] =
        &["00", "01", "007", "0x1f", "0x", "1a", "1_000", "1 000", "\u{ff11}", "\u{663}", "1f", "1h", "1#"];
    const BAD_FRACTIONS: &[&str] = &[".", "..1", ".1.2", ".-1", ".+1", ". 5", ".x", ".\u{ff15}", ".1f"];
    const BAD_EXPONENTS: &[&str] =
        &["e", "E", "e+", "E-", "ee1", "e1.5", "e+-1", "e 1", "e1e1", "eE2", "exy", "e\u{ff11}", "e0x1"];
    const NO_NUMBERS: &[&str] = &[
        "NaN",
        "-NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "+Inf",
        "Inf",
        "-",
        "+",
        ".5",
        "-.5",
        ".",
        "e5",
        ".e5",
        "1/2",
        "1+2",
        "1.5.5",
        "$1",
        "0b1",
        "0o7",
    ];
    let mut numbers = product(&[BAD_SIGNS, INTEGERS, FRACTIONS, EXPONENTS]);
    numbers.extend(product(&[SIGNS, BAD_INTEGERS, FRACTIONS, EXPONENTS]));
    numbers.extend(product(&[SIGNS, INTEGERS, BAD_FRACTIONS, EXPONENTS]));
    numbers.extend(product(&[SIGNS, INTEGERS, FRACTIONS, BAD_EXPONENTS]));
    numbers.extend(NO_NUMBERS.iter().map(|text| (*text).to_owned()));
    let mut numbers = cases(numbers);
    numbers.extend([b"1\xe5".to_vec(), b"0e1\xff".to_vec(), b"-1\x00".to_vec()]);
    numbers
}

/// A character at each end of each length in UTF-8, and those that look like trouble.
const CHARS: &[char] = &[
    ' ',
    '!',
    '#',
    '[',
    ']',
    '~',
    '\u{7f}',
    '\u{80}',
    '\u{85}',
    '\u{a0}',
    '\u{7ff}',
    '\u{800}',
    '\u{2028}',
    '\u{2029}',
    '\u{2060}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{fdd0}',
    '\u{feff}',
    '\u{ffff}',
    '\u{10000}',
    '\u{1f642}',
    '\u{1ffff}',
    '\u{10fffe}',
    '\u{10ffff}',
];

/// What may stand between the quotes.
fn valid_contents() -> Vec<String> {
    const ESCAPES: &[&str] = &["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"];
    let mut contents: Vec<String> = ESCAPES.iter().map(|escape| (*escape).to_owned()).collect();
    contents.extend(CHARS.iter().map(char::to_string));
    for unit in [0, 1, 0x1f, 0x22, 0x5c, 0x61, 0x7f, 0x85, 0x2028, 0xd7ff, 0xe000, 0xfdd0, 0xfeff, 0xffff] {
        contents.extend([format!("\\u{unit:04x}"), format!("\\u{unit:04X}")]);
    }
    for (high, low) in [(0xd800, 0xdc00), (0xd83d, 0xde42), (0xdbff, 0xdfff), (0xd834, 0xdd1e)] {
        contents.extend([format!("\\u{high:04x}\\u{low:04X}"), format!("\\u{high:04X}\\u{low:04x}")]);
    }
    let joined = [contents.concat(), String::new(), "\\\\u0061".to_owned(), "/*c*/ //".to_owned()];
    contents.extend(joined);
    contents.push("x".repeat(500));
    contents
}

fn valid_strings() -> Vec<Case> {
    cases(valid_contents().into_iter().map(|content| format!("\"{content}\"")))
}

fn invalid_strings() -> Vec<Case> {
    let quoted = |content: &[u8]| [b"\"".as_slice(), content, b"\""].concat();
    let mut strings: Vec<Case> = (0..0x20).map(|control| quoted(&[b'a', control, b'b'])).collect();
    // Every escape that there is not, after an even number of backslashes, too.
    for letter in (0..0x7f).filter(|letter| !b"\"\\/bfnrtu".contains(letter)) {
        strings.extend([quoted(&[b'\\', letter]), quoted(&[b'\\', b'\\', b'\\', letter])]);
    }
    for hex in ["", "0", "00", "00e", "g000", "0g00", "00g0", "000g", "+041", "-041", " 041", "00\\u", "{41}"]
    {
        strings.push(quoted(format!("\\u{hex}").as_bytes()));
    }
    strings.extend(cases([
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\\\\\\"",
        "\"\\",
        "\"\\u",
        "\"\\u00",
        "\"\\ud834\\ud",
        "'a'",
        "\"a'",
        "'a\"",
        "a",
        "\"a\"b",
        "\"a\"\"b\"",
        "\u{201c}a\u{201d}",
        "`a`",
        "\"\\\u{1f642}\"",
        "\"\\u\u{ff10}\u{ff10}\u{ff14}\u{ff11}\"",
        "\\u0022a\\u0022",
        "\"\u{0}\"",
    ]));
    strings
}

/// Bytes that are no UTF-8, inside of a string: the RFC asks for UTF-8 and the suite leaves it open.
pub fn not_utf8() -> Vec<Case> {
    const SEQUENCES: &[&[u8]] = &[
        b"\x80",
        b"\xbf",
        b"\xfe",
        b"\xff",
        b"\xe9",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x99",
        b"\xe6\x97\xa5\xd1\x88\xfa",
    ];
    SEQUENCES.iter().map(|sequence| [b"\"".as_slice(), sequence, b"\""].concat()).collect()
}

/// Escapes of halves of pairs: the RFC lets them pass, no Unicode text can hold them.
pub fn lone_surrogates() -> Vec<Case> {
    const HALVES: &[&str] = &[
        "\\ud800",
        "\\uDBFF",
        "\\udc00",
        "\\uDFAA",
        "\\ud800\\ud800",
        "\\udd1e\\ud834",
        "\\ud888\\u1234",
        "\\ud800\\n",
        "\\ud800abc",
        "\\ud834\\ud834\\udd1e",
        "\\ud834\\udd1e\\udd1e",
        "\\ud800\u{e000}",
    ];
    let as_key = |half: &&str| format!("{{\"{half}\":1}}");
    cases(HALVES.iter().map(|half| format!("\"{half}\"")).chain(HALVES.iter().map(as_key)))
}

/// Numbers that no 64-bit floating point holds.
pub fn too_large() -> Vec<Case> {
    let digits = "9".repeat(400);
    let exponent = format!("1e{}", "9".repeat(30));
    let long = format!("0.4e00669999{}", "9".repeat(100));
    let mut numbers = ["1e309", "1.8e308", "1E+400", "123123e100000", &digits, &exponent, &long]
        .map(|number| vec![number.to_owned(), format!("-{number}"), format!("[{number}]")])
        .concat();
    numbers.push("{\"a\":[1,-1e999]}".to_owned());
    cases(numbers)
}

/// Numbers that 64-bit floating point rounds, to nothing or to a neighbour.
pub fn rounded() -> Vec<Case> {
    cases([
        "123.456e-789".to_owned(),
        format!("1e-{}", "9".repeat(30)),
        "123e-10000000".to_owned(),
        "-123123123123123123123123123123".to_owned(),
        "100000000000000000000".to_owned(),
        "1.7976931348623157e308".to_owned(),
        "0e999999999999".to_owned(),
        format!("0.{}1", "0".repeat(400)),
    ])
}

/// Objects that have a key twice: the RFC asks that they have not, and the suite accepts them.
pub fn duplicate_keys() -> Vec<Case> {
    cases([
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"b":2,"a":null}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"":1,"":2}"#,
        r#"{"\u0000":1,"\u0000":2}"#,
        r#"{"🙂":1,"\ud83d\ude42":2}"#,
        r#"[{"b":{"a":1,"a":1}}]"#,
        r#"{"x":[{"a":[],"a":{}}]}"#,
    ])
}

/// A value that is `levels` deep.
pub fn nested(levels: usize) -> [Case; 3] {
    let half = levels / 2;
    [
        format!("{}{}", "[".repeat(levels), "]".repeat(levels)),
        format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels)),
        format!(
            "{}{}1{}{}",
            "[{\"a\":".repeat(half),
            "[".repeat(levels - 2 * half),
            "]".repeat(levels - 2 * half),
            "}]".repeat(half)
        ),
    ]
    .map(String::into_bytes)
}

fn literals() -> (Vec<Case>, Vec<Case>) {
    const NONE: &[&str] = &[
        "True",
        "TRUE",
        "tru",
        "truth",
        "truee",
        "fals",
        "False",
        "nul",
        "Null",
        "nulll",
        "None",
        "nil",
        "undefined",
        "yes",
        "t",
        "n",
        "f",
        "a",
        "*",
        "&",
        "@",
        "#",
        "<null>",
        "\u{e5}",
        "true false",
    ];
    (cases(["true", "false", "null"]), cases(NONE))
}

/// Arrays and objects as their tokens, to be written with any white space and to be broken token by token.
const STRUCTURES: &[&[&str]] = &[
    &["[", "]"],
    &["{", "}"],
    &["[", "1", "]"],
    &["[", "\"\"", ",", "null", ",", "[", "]", ",", "{", "}", "]"],
    &["{", "\"a\"", ":", "1", "}"],
    &["{", "\"\"", ":", "0", ",", "\"a\"", ":", "[", "true", ",", "-1.5e3", "]", "}"],
    &["{", "\"foo\\u0000bar\"", ":", "42", ",", "\"b\"", ":", "{", "\"c\"", ":", "\"d\"", "}", "}"],
    &[
        "[", "{", "\"min\"", ":", "-1.0e+28", ",", "\"max\"", ":", "1.0e+28", "}", ",", "[", "[", "]", "]",
        "]",
    ],
];

fn valid_structures() -> Vec<Case> {
    const SPACES: &[&str] = &["", " ", "\t", "\n", "\r", "\r\n \t"];
    let written = |space: &str| STRUCTURES.iter().map(move |tokens| tokens.join(space)).collect::<Vec<_>>();
    let mut structures: Vec<String> = SPACES.iter().flat_map(|space| written(space)).collect();
    let elements = vec!["null"; 200].join(",");
    structures.extend([format!("[{elements}]"), format!("[{}[]]", "[],".repeat(100))]);
    cases(structures)
}

/// White space that JSON does not have, and marks that only comments and other languages have.
fn invalid_spaces() -> Vec<Case> {
    const NO_SPACES: &[&str] = &[
        "\u{b}", "\u{c}", "\u{85}", "\u{a0}", "\u{1680}", "\u{2028}", "\u{2060}", "\u{3000}", "\u{feff}",
        "\u{0}", "\u{7f}", "\\n", "/**/", "//\n", "#\n", "<!---->", "&#32;",
    ];
    let written = |space: &str| STRUCTURES.iter().map(move |tokens| tokens.join(space)).collect::<Vec<_>>();
    cases(NO_SPACES.iter().flat_map(|space| written(space)))
}

/// What a token may be taken for.
const TOKENS: &[&str] = &[
    "[", "]", "{", "}", ",", ":", "1", "\"a\"", "\"b\"", "null", "'a'", "a", ";", "=", "(", ")", "-", "\"",
    "\\", "//", "/*", "...", "\u{feff}",
];

/// Every structure with a token left out, said twice, exchanged with its neighbour, replaced, or with one put
/// before it; whether that is JSON is for the grammar to say.
pub fn broken_structures() -> Vec<Case> {
    let mut broken = Vec::new();
    for tokens in STRUCTURES {
        for at in 0..=tokens.len() {
            let mut with = |removed: usize, inserted: &[&str]| {
                let mut changed = tokens.to_vec();
                changed.splice(at..(at + removed).min(tokens.len()), inserted.iter().copied());
                broken.push(changed.concat());
                broken.push(changed.join(" "));
            };
            with(1, &[]);
            with(2, &[]);
            with(tokens.len(), &[]);
            for token in TOKENS {
                with(0, &[token]);
                with(1, &[token]);
            }
            if let [one, two, ..] = tokens[at..] {
                with(2, &[two, one]);
                with(0, &[one]);
            }
        }
    }
    broken.retain(|text| !text.trim().is_empty());
    cases(broken)
}

pub fn valid() -> Vec<Case> {
    let texts = cases(["\"key\"", "\" \"", "-0", "0", "[-0]", "[1E22]", "{\"title\":\"\\u041f\\u043e\"}"]);
    let as_keys = valid_contents().into_iter().map(|content| format!("{{\"{content}\":[\"{content}\"]}}"));
    let keys = cases(as_keys);
    [valid_numbers(), valid_strings(), keys, valid_structures(), literals().0, texts].concat()
}

pub fn invalid() -> Vec<Case> {
    [invalid_numbers(), invalid_strings(), invalid_spaces(), literals().1].concat()
}

/// What may be found around a whole record that makes it none.
pub const AROUND: &[(&[u8], &[u8])] = &[
    (b"", b"x"),
    (b"", b"1"),
    (b"", b"]"),
    (b"", b"}"),
    (b"", b","),
    (b"", b":"),
    (b"", b"{}"),
    (b"", b"null"),
    (b"", b"#"),
    (b"", b"//"),
    (b"", b"/**/"),
    (b"", b"\0"),
    (b"", b"\x0b"),
    (b"", b"\x0c"),
    (b"", b"\xc2\xa0"),
    (b"", b"\xe2\x81\xa0"),
    (b"", b"\xff"),
    (b"", b";"),
    (b"\xef\xbb\xbf", b""),
    (b"\xfe\xff", b""),
    (b"\xff\xfe", b""),
    (b"\x0c", b""),
    (b"/**/", b""),
    (b"// c\n", b""),
    (b",", b""),
    (b"[", b"]"),
    (b"[", b""),
    (b"(", b")"),
    (b"{", b"}"),
    (b"\"", b"\""),
    (b"<", b">"),
    (b"\xef\xbb", b""),
];
