//! The wire format is frozen: golden records of every version are read for ever, and what two
//! readers could understand differently is refused.

use record::{Exit, Failure, Record, parse, parse_in};

const GOLDEN: &str = include_str!("golden/cutover.record.1.jsonl");

fn minimal() -> String {
    r#"{"schema":"cutover.record/1","ok":true,"changed":false,"dry_run":false,"pipe":"p","host":"h","stages":[]}"#
        .to_owned()
}

fn line(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

fn code(bytes: &[u8]) -> &'static str {
    let error = parse(bytes).expect_err(&String::from_utf8_lossy(bytes));
    let failure = error.downcast_ref::<Failure>().expect("a failure with a kind");
    assert_eq!(failure.exit(), Exit::InvalidInput);
    // Whoever is told to add -n behind a pipe that failed lets this stage act alone.
    let said = format!("{failure:?}");
    assert!(said.contains("jq -c") || failure.code() == "input.schema", "{said}");
    assert!(said.contains("stdin") && !said.contains("-n"), "{said}");
    let of_file = parse_in(bytes, "line 2 of report").expect_err("of a file too");
    let told = of_file.downcast_ref::<Failure>().expect("a failure with a kind");
    assert_eq!((told.code(), told.exit()), (failure.code(), Exit::InvalidInput));
    let text = format!("{told:?}");
    assert!(text.contains("line 2 of report") && !text.contains("stdin"), "{text}");
    failure.code()
}

#[test]
fn golden_records_of_version_1_are_read_and_written_back_unchanged() {
    assert!(GOLDEN.lines().count() >= 3);
    for golden in GOLDEN.lines() {
        let record = parse(&line(golden)).unwrap();
        let written = serde_json::to_string(&record).unwrap();
        let (before, after): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(golden).unwrap(), serde_json::from_str(&written).unwrap());
        assert_eq!(before, after);
    }
}

#[test]
fn members_nobody_knows_pass_through_with_the_very_text_of_their_numbers() {
    let odd = r#"{"a":1.0,"b":1e400,"c":123456789012345678901234567890,"d":-0,"e":[null,true,{"x":"\u0000"}]}"#;
    let text = minimal().replace(r#""stages":[]"#, &format!(r#""stages":[],"future":{odd}"#));
    let written = serde_json::to_string(&parse(&line(&text)).unwrap()).unwrap();
    // Only the sign of an exponent is spelt out; the value is the same to the last digit.
    for part in ["1.0", "1e+400", "123456789012345678901234567890", "-0"] {
        assert!(written.contains(&format!(":{part}")), "{part} is lost in {written}");
    }
    assert!(written.contains(r#""e":[null,true,{"x":"\u0000"}]"#), "{written}");
    let inside = minimal().replace(
        "[]",
        r#"[{"tool":"t","version":"0","ok":true,"changed":false,"started_at":"s","elapsed_ms":1,"mine":1.50}]"#,
    );
    assert!(serde_json::to_string(&parse(&line(&inside)).unwrap()).unwrap().contains(r#""mine":1.50"#));
}

#[test]
fn what_is_no_record_is_refused_with_65() {
    let good = minimal();
    let with = |from: &str, to: &str| line(&good.replace(from, to));
    let deep = format!(r#""stages":[],"deep":{}{}"#, "[".repeat(200), "]".repeat(200));
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no line feed", good.clone().into_bytes(), "input.truncated"),
        ("cut off", good.as_bytes()[..40].to_vec(), "input.truncated"),
        ("only a line feed", b"\n".to_vec(), "input.invalid"),
        ("two records", line(&format!("{good}\n{good}")), "input.invalid"),
        ("trailing bytes", line(&format!("{good} x")), "input.invalid"),
        ("a byte order mark", line(&format!("\u{feff}{good}")), "input.invalid"),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).chain(*b"\n").collect(), "input.invalid"),
        ("bad UTF-8", [b"{\"a\":\"\xff\"}".as_slice(), b"\n"].concat(), "input.invalid"),
        ("200 deep", with(r#""stages":[]"#, &deep), "input.invalid"),
        ("a duplicate member", with(r#""ok":true"#, r#""ok":true,"ok":true"#), "input.invalid"),
        ("a duplicate member inside", with(r#""stages":[]"#, r#""stages":[],"x":{"y":1,"y":2}"#), "input.invalid"),
        ("another major", with("record/1", "record/2"), "input.schema"),
        ("no schema", with(r#""schema":"cutover.record/1","#, ""), "input.schema"),
        ("an array", line("[]"), "input.schema"),
        ("a number", line("1"), "input.schema"),
        ("pipe as a number", with(r#""pipe":"p""#, r#""pipe":5"#), "input.invalid"),
        ("pipe empty", with(r#""pipe":"p""#, r#""pipe":"""#), "input.invalid"),
        ("ok missing", with(r#""ok":true,"#, ""), "input.invalid"),
        ("failed without error", with(r#""ok":true"#, r#""ok":false"#), "input.invalid"),
        ("root not absolute", with(r#""stages":[]"#, r#""stages":[],"root":"srv""#), "input.invalid"),
        ("root null", with(r#""stages":[]"#, r#""stages":[],"root":7"#), "input.invalid"),
        ("release id as a number", with(r#""stages":[]"#, r#""stages":[],"release":{"id":5}"#), "input.invalid"),
        ("release id as an array", with(r#""stages":[]"#, r#""stages":[],"release":{"id":["a"]}"#), "input.invalid"),
        ("release id null", with(r#""stages":[]"#, r#""stages":[],"release":{"id":null}"#), "input.invalid"),
        (
            "a size beyond 2^53",
            with(r#""stages":[]"#, r#""stages":[],"release":{"id":"a","bytes":9007199254740993}"#),
            "input.invalid",
        ),
        (
            "more than 1 MiB",
            with(r#""stages":[]"#, &format!(r#""stages":[],"x":"{}""#, "x".repeat(1 << 20))),
            "input.too_large",
        ),
    ];
    for (name, bytes, expected) in rows {
        assert_eq!(code(&bytes), expected, "{name}");
    }
}

#[test]
fn the_schema_allows_the_golden_records_and_refuses_a_misfit() {
    let validator = jsonschema::validator_for(&record::schema::value()).unwrap();
    for golden in GOLDEN.lines() {
        let value: serde_json::Value = serde_json::from_str(golden).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:?} in {golden}");
    }
    for (from, to) in
        [(r#""ok":true"#, r#""ok":"yes""#), ("record/1", "record/2"), (r#""stages":[]"#, r#""stages":{}"#)]
    {
        let misfit: serde_json::Value = serde_json::from_str(&minimal().replace(from, to)).unwrap();
        assert!(!validator.is_valid(&misfit), "{to} was allowed");
    }
}

#[test]
fn the_committed_schema_is_the_one_the_types_give() {
    let committed =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/record.schema.json")).unwrap_or_default();
    assert!(
        committed.trim_end() == record::schema::text(),
        "docs/record.schema.json is out of date: run `cargo xtask generate`"
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _: anyhow::Result<Record> = parse(&bytes);
    }

    #[test]
    fn no_prefix_of_a_record_is_a_record(cut in 0..700_usize) {
        let whole = line(GOLDEN.lines().next().unwrap());
        if cut < whole.len() {
            proptest::prop_assert!(parse(&whole[..cut]).is_err());
        }
    }
}
