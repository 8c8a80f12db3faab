//! What does not fit is refused, and the error says where it stands and what it is.

use std::collections::BTreeMap;

use goodjob_core::{Arguments, ruby};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fn symbol(name: &str) -> Value {
    json!({"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": name})
}

fn fault<T: for<'de> Deserialize<'de>>(when: Value) -> String {
    #[derive(Debug, Deserialize)]
    struct At<T> {
        #[serde(rename = "when")]
        _when: T,
    }
    let keywords = json!({"when": when, "_aj_ruby2_keywords": ["when"]});
    let stored = Arguments::from_stored(vec![keywords]);
    stored.decode::<At<T>>().map(|_| ()).expect_err("no fit").to_string()
}

#[test]
fn a_value_of_another_type_is_named_by_path_and_shown_whole() {
    let other = symbol("soon");
    let serializer = "ActiveJob::Serializers";
    for (error, expected) in [
        (
            fault::<ruby::Module>(other.clone()),
            format!("a class or module, as {serializer}::ModuleSerializer stores it"),
        ),
        (
            fault::<ruby::Time>(other.clone()),
            "a time, as Active Job's serializer of Time, DateTime or TimeWithZone stores it".into(),
        ),
        (
            fault::<ruby::Date>(other.clone()),
            format!("a day, as {serializer}::DateSerializer stores it"),
        ),
        (
            fault::<ruby::Duration>(other.clone()),
            format!("a duration, as {serializer}::DurationSerializer stores it"),
        ),
        (
            fault::<ruby::Decimal>(other.clone()),
            "a decimal number: its text, or BigDecimalSerializer's object".into(),
        ),
        (
            fault::<ruby::GlobalId>(other.clone()),
            "a record: {\"_aj_globalid\": \"gid://app/Model/id\"}".into(),
        ),
    ] {
        assert_eq!(error, format!("arguments.when: found {other}, expected {expected}"));
    }
    assert_eq!(
        fault::<ruby::Symbol>(json!("soon")),
        format!(
            "arguments.when: found \"soon\", expected a symbol, as {serializer}::SymbolSerializer stores it"
        )
    );
    assert_eq!(
        fault::<ruby::Serialized>(json!({"a": 1})),
        "arguments.when: found {\"a\":1}, expected an object with a serializer's name under _aj_serialized"
    );
    assert_eq!(
        fault::<ruby::Range<i64>>(other),
        format!(
            "arguments.when: found \"{serializer}::SymbolSerializer\" under _aj_serialized, expected \"{serializer}::RangeSerializer\""
        )
    );
    assert_eq!(
        fault::<ruby::Range<i64>>(json!(5)),
        format!(
            "arguments.when: invalid type: integer `5`, expected a range, as {serializer}::RangeSerializer stores it"
        )
    );
    assert_eq!(
        fault::<ruby::Indifferent<BTreeMap<String, i64>>>(json!([])),
        "arguments.when: invalid type: sequence, expected a hash"
    );
}

#[test]
fn a_record_has_no_other_key_beside_it() {
    let beside = json!({"_aj_globalid": "gid://app/User/7", "x": 1});
    assert!(fault::<ruby::GlobalId>(beside).starts_with("arguments.when: found {"));
}

#[test]
fn a_fault_deep_inside_is_named_by_its_whole_path() {
    let range = json!({
        "_aj_serialized": "ActiveJob::Serializers::RangeSerializer", "begin": null, "end": "x",
    });
    assert!(
        fault::<Vec<ruby::Range<ruby::Date>>>(json!([range]))
            .starts_with("arguments.when[0].end: found \"x\", expected a day")
    );
    type Deep =
        ruby::SymbolKeys<BTreeMap<String, ruby::Indifferent<BTreeMap<String, ruby::Symbol>>>>;
    let deep = json!({
        "a": {"b": 7, "_aj_hash_with_indifferent_access": true}, "_aj_symbol_keys": ["a"],
    });
    assert!(fault::<Deep>(deep).starts_with("arguments.when.a.b: found 7, expected a symbol"));
}

#[test]
fn a_long_value_is_cut_in_the_error() {
    let error = fault::<ruby::Symbol>(json!("ä".repeat(100_000)));
    assert!(error.chars().count() < 300 && error.contains('…'), "{error}");
}

#[test]
fn what_ruby_could_not_read_is_not_written() {
    #[derive(Serialize)]
    struct Job<T> {
        what: T,
    }
    fn refused<T: Serialize>(what: T) -> String {
        Arguments::encode(&Job { what }).expect_err("a refusal").to_string()
    }
    let plain = "expected a plain hash: a struct with named fields, or a map";
    assert_eq!(refused(vec![ruby::SymbolKeys(5)]), format!("arguments.what[0]: found 5, {plain}"));
    let twice = ruby::Indifferent(ruby::SymbolKeys(BTreeMap::from([("a", 1)])));
    assert!(
        refused(twice).starts_with("arguments.what: found {\"_aj_symbol_keys\":[\"a\"],\"a\":1}")
    );
    assert!(refused(ruby::SymbolKeys(ruby::Symbol::from("a"))).contains(plain));
    assert_eq!(
        refused(ruby::Keywords(BTreeMap::from([("a", 1)]))),
        "arguments.what._aj_ruby2_keywords: found [\"a\"], expected no such key: only the last \
         argument can be keywords"
    );
    assert_eq!(
        refused(ruby::Symbol::from("a\0b")),
        "arguments.what.value: has a NUL character, which Postgres cannot store"
    );
    let second = [("_aj_serialized".to_owned(), json!("X"))].into_iter().collect();
    let serialized = ruby::Serialized { serializer: "X".into(), keys: second };
    assert!(refused(serialized).starts_with("arguments.what: found \"X\" among the keys"));
    let nameless = ruby::Serialized { serializer: String::new(), keys: Default::default() };
    assert_eq!(
        refused(nameless),
        "arguments.what._aj_serialized: found \"\", expected the class name of a serializer"
    );
}

#[test]
fn a_record_is_no_keywords() {
    #[derive(Debug, Deserialize)]
    struct Lenient {
        #[serde(default)]
        _note: Option<String>,
    }
    let stored = Arguments::from_stored(vec![json!({"_aj_globalid": "gid://app/User/7"})]);
    assert_eq!(
        stored.decode::<Lenient>().unwrap_err().to_string(),
        "arguments: found {\"_aj_globalid\":\"gid://app/User/7\"} in position 1, expected keyword arguments"
    );
}
