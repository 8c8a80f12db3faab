//! What does not fit is refused, and the error says where it stands and what it is.

use std::collections::BTreeMap;

use goodjob_core::{Arguments, ruby};
use proptest::prelude::*;
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

/// JSON as Active Job might have stored it, and as nobody should have: its keys, serializers and
/// forms among each other.
fn anything() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,8}",
        "[-+0-9.eE]{0,8}",
        Just("gid://app/User/7".to_owned()),
        Just("2024-01-02".to_owned()),
        Just("2024-01-01T00:00:00.000000000Z".to_owned()),
        Just("minutes".to_owned()),
        "ActiveJob::Serializers::(Symbol|Duration|Date|Time|TimeWithZone|Range|BigDecimal)Serializer",
    ];
    let key = prop_oneof![
        Just("_aj_globalid"),
        Just("_aj_serialized"),
        Just("_aj_symbol_keys"),
        Just("_aj_ruby2_keywords"),
        Just("_aj_hash_with_indifferent_access"),
        Just("value"),
        Just("parts"),
        Just("begin"),
        Just("a"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let entry = (key.clone().prop_map(str::to_owned), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(entry, 0..4).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

fn read_as<T: for<'de> Deserialize<'de> + Serialize>(value: &Value) {
    if let Ok(read) = serde_json::from_value::<T>(value.clone()) {
        let written = serde_json::to_value(&read).expect("what was read can be written");
        let again: T = serde_json::from_value(written.clone()).expect("and read again");
        assert_eq!(serde_json::to_value(again).expect("a stored form"), written);
    }
}

proptest! {
    #[test]
    fn no_stored_value_makes_a_reader_panic(value in anything()) {
        read_as::<ruby::Symbol>(&value);
        read_as::<ruby::GlobalId>(&value);
        read_as::<ruby::Decimal>(&value);
        read_as::<ruby::Time>(&value);
        read_as::<ruby::TimeWithZone>(&value);
        read_as::<ruby::Date>(&value);
        read_as::<ruby::Duration>(&value);
        read_as::<ruby::Range<ruby::Decimal>>(&value);
        read_as::<ruby::Serialized>(&value);

        #[derive(Debug, Deserialize)]
        struct Any(#[allow(dead_code, reason = "only its reading is tried")] Value, ruby::Keywords<BTreeMap<String, Value>>);
        let stored = Arguments::from_stored(vec![value.clone(), value.clone()]);
        let (args, kwargs) = stored.split();
        prop_assert!(args.len() == 2 || (args.len() == 1 && value.is_object()));
        if let Ok(Any(_, ruby::Keywords(read))) = stored.decode::<Any>() {
            prop_assert!(kwargs.keys().all(|key| read.contains_key(key)));
        }
        // Whether it is refused or let through: what is let through is stored as it was given.
        if let Ok(arguments) = Arguments::positional(vec![value.clone()]) {
            prop_assert_eq!(arguments.as_stored(), [value]);
        }
    }
}
