//! A value comes back as it went, and a stored form is written again as it was.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use goodjob_core::{Arguments, ruby};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The shapes that a value may stand in: a keyword, a position, and deeper in either.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named<T> {
    bare: T,
    some: Option<T>,
    none: Option<T>,
    list: Vec<T>,
    map: HashMap<String, Vec<T>>,
    symbols: ruby::SymbolKeys<BTreeMap<String, T>>,
    indifferent: ruby::Indifferent<Inner<T>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner<T> {
    inner: T,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Positions<T>(T, Vec<T>, ruby::Keywords<Inner<T>>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Only<T>(T);

fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug + Clone>(value: &T) {
    let stored = serde_json::to_value(value).expect("a stored form");
    let again: T = serde_json::from_value(stored.clone()).expect("the value");
    assert_eq!((&again, serde_json::to_value(&again).expect("a stored form")), (value, stored));

    let it = || value.clone();
    through_arguments(&Only(it()));
    through_arguments(&Positions(it(), vec![it(), it()], ruby::Keywords(Inner { inner: it() })));
    through_arguments(&Named {
        bare: it(),
        some: Some(it()),
        none: None,
        list: vec![it()],
        map: [("k".to_owned(), vec![it()])].into(),
        symbols: ruby::SymbolKeys([("s".to_owned(), it())].into()),
        indifferent: ruby::Indifferent(Inner { inner: it() }),
    });
}

fn through_arguments<J: Serialize + DeserializeOwned + PartialEq + Debug>(job: &J) {
    let stored = Arguments::encode(job).expect("arguments");
    let again: J = stored.clone().decode().expect("the job");
    assert_eq!(&again, job);
    assert_eq!(Arguments::encode(&again).expect("arguments"), stored);
}

fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    (-80_000_000_000..250_000_000_000_i64, 0..1_000_000_000_u32)
        .prop_map(|(secs, nanos)| DateTime::from_timestamp(secs, nanos).expect("a time"))
}

fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,20}"
}

fn days() -> impl Strategy<Value = NaiveDate> {
    (-1_000_000..4_000_000_i32)
        .prop_map(|n| NaiveDate::from_num_days_from_ce_opt(n).expect("a day"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn names(name in text()) {
        survives(&ruby::Symbol::from(name.as_str()));
        survives(&ruby::Module::from(name));
    }

    #[test]
    fn records(app in "[a-z][a-z0-9-]{0,9}", model in "[A-Z][A-Za-z0-9]{0,9}(::[A-Z][a-z]{0,5})?", id in "[A-Za-z0-9%_.-]{1,12}(/[0-9]{1,3})?") {
        let record = ruby::GlobalId::new(&app, &model, &id).unwrap();
        prop_assert_eq!((record.app(), record.model(), record.id()), (&*app, &*model, &*id));
        prop_assert_eq!(&record.to_string().parse::<ruby::GlobalId>().unwrap(), &record);
        survives(&record);
    }

    #[test]
    fn decimals(whole in any::<i128>(), float in any::<f64>(), text in "-?[0-9]{1,40}\\.[0-9]{1,40}(e-?[0-9]{1,3})?") {
        survives(&ruby::Decimal::from(whole));
        survives(&ruby::Decimal::from(float));
        let decimal: ruby::Decimal = text.parse().unwrap();
        survives(&decimal);
        let object = ruby::Serialized::from(decimal.clone());
        survives(&object);
        let read: ruby::Decimal = serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap();
        prop_assert_eq!(read, decimal);
    }

    #[test]
    fn times(at in instants(), zone in prop::option::of("[A-Z][a-z]{1,8}/[A-Z][a-z]{1,8}")) {
        survives(&ruby::Time(at));
        survives(&ruby::DateTime(at));
        survives(&ruby::TimeWithZone { at, zone });
        prop_assert_eq!(ruby::Time(at).to_string().parse::<ruby::Time>().unwrap().0, at);
    }

    #[test]
    fn dates(day in days()) {
        survives(&ruby::Date(day));
    }

    #[test]
    fn durations(secs in any::<i32>(), nanos in any::<u32>(), count in any::<i32>(), unit in 0..7_usize) {
        use ruby::Unit::{Days, Hours, Minutes, Months, Seconds, Weeks, Years};
        let delta = TimeDelta::seconds(secs.into());
        survives(&ruby::Duration::from(delta));
        prop_assert_eq!(TimeDelta::try_from(ruby::Duration::from(delta)).unwrap(), delta);
        // Up to 4 seconds: an f64 is exact to the nanosecond there, and far beyond.
        let short = std::time::Duration::from_nanos(nanos.into());
        survives(&ruby::Duration::from(short));
        prop_assert_eq!(std::time::Duration::try_from(ruby::Duration::from(short)).unwrap(), short);
        let units = [Seconds, Minutes, Hours, Days, Weeks, Months, Years];
        survives(&ruby::Duration::of(count, units[unit]));
    }

    #[test]
    fn ranges(begin in prop::option::of(any::<i64>()), end in prop::option::of(any::<i64>()), exclude_end in any::<bool>(), (from, to) in (days(), days())) {
        survives(&ruby::Range { begin, end, exclude_end });
        survives(&ruby::Range::from(ruby::Date(from)..=ruby::Date(to)));
        survives(&ruby::Range::from(ruby::Symbol::from("a")..));
    }

    #[test]
    fn hashes(entries in prop::collection::btree_map("[a-z ä]{0,6}", any::<i64>(), 0..5)) {
        survives(&ruby::SymbolKeys(entries.clone()));
        survives(&ruby::Indifferent(entries.clone()));
        survives(&ruby::SymbolKeys(BTreeMap::from([("in", ruby::Indifferent(entries.clone()))])
            .into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<BTreeMap<_, _>>()));
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Last(i64, ruby::Keywords<BTreeMap<String, i64>>);
        through_arguments(&Last(1, ruby::Keywords(entries.clone())));
        through_arguments(&Only(ruby::Keywords(entries)));
    }

    #[test]
    fn serialized(serializer in "[A-Z][a-z]{0,9}", key in "[a-z]{1,9}", inner in text()) {
        let keys = json!({
            key: inner, "deep": {"a": [1], "_aj_symbol_keys": ["a"]}, "_aj_symbol_keys": ["deep"],
        });
        survives(&ruby::Serialized { serializer, keys: keys.as_object().unwrap().clone() });
    }
}

#[test]
fn canonical_forms_are_written_as_they_were_read() {
    fn canonical<T: Serialize + DeserializeOwned>(stored: Value) {
        let read: T = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), stored);
    }
    let made = |serializer: &str, value: Value| json!({"_aj_serialized": format!("ActiveJob::Serializers::{serializer}Serializer"), "value": value});
    canonical::<ruby::Symbol>(made("Symbol", json!("sym")));
    canonical::<ruby::Module>(made("Module", json!("Billing::Invoice")));
    canonical::<ruby::GlobalId>(json!({"_aj_globalid": "gid://my-app/User/7"}));
    canonical::<ruby::Decimal>(json!("19.9"));
    canonical::<ruby::Serialized>(made("BigDecimal", json!("19.9")));
    canonical::<ruby::Time>(made("Time", json!("2024-01-01T00:00:00.000000000Z")));
    canonical::<ruby::DateTime>(made("DateTime", json!("2024-01-01T00:00:00.000000001Z")));
    canonical::<ruby::Date>(made("Date", json!("2024-01-02")));
    let mut zoned = made("TimeWithZone", json!("2024-01-01T00:00:00.000000000Z"));
    canonical::<ruby::TimeWithZone>(zoned.clone());
    zoned["time_zone"] = json!("Europe/Paris");
    canonical::<ruby::TimeWithZone>(zoned);
    let mut minutes = made("Duration", json!(300));
    minutes["parts"] = json!([[made("Symbol", json!("minutes")), 5]]);
    canonical::<ruby::Duration>(minutes.clone());
    assert_eq!(serde_json::to_value(ruby::Duration::of(5, ruby::Unit::Minutes)).unwrap(), minutes);
    canonical::<ruby::Range<i64>>(json!({
        "_aj_serialized": "ActiveJob::Serializers::RangeSerializer",
        "begin": 1, "end": 9, "exclude_end": false,
    }));
    canonical::<ruby::SymbolKeys<BTreeMap<String, i64>>>(json!({"a": 1, "_aj_symbol_keys": ["a"]}));
    canonical::<ruby::Indifferent<BTreeMap<String, i64>>>(
        json!({"a": 1, "_aj_hash_with_indifferent_access": true}),
    );
}

#[test]
fn keywords_after_positions_may_be_missing_or_a_hash_in_braces() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Charge(i64, ruby::Keywords<Options>);
    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Options {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dry_run: Option<bool>,
    }
    let read = |stored: Value| {
        Arguments::from_stored(stored.as_array().unwrap().clone()).decode::<Charge>()
    };
    let charge = |dry_run| Charge(42, ruby::Keywords(Options { dry_run }));
    assert_eq!(read(json!([42])).unwrap(), charge(None));
    for mark in ["_aj_ruby2_keywords", "_aj_symbol_keys"] {
        let stored = json!([42, {"dry_run": true, mark: ["dry_run"]}]);
        assert_eq!(read(stored).unwrap(), charge(Some(true)));
    }
    assert_eq!(json!(Arguments::encode(&charge(None)).unwrap().as_stored()), json!([42]));
    assert_eq!(
        read(json!([])).unwrap_err().to_string(),
        "arguments[0]: found 0 arguments, expected 2"
    );
    assert_eq!(
        read(json!([42, 7])).unwrap_err().to_string(),
        "arguments[1]: invalid type: integer `7`, expected keyword arguments"
    );
    assert_eq!(
        read(json!([42, {"dry_run": 1, "_aj_ruby2_keywords": ["dry_run"]}])).unwrap_err().path(),
        "arguments[1].dry_run"
    );
    assert_eq!(
        Arguments::from_stored(vec![]).decode::<Only<i64>>().unwrap_err().to_string(),
        "arguments: found 0 arguments, expected 1"
    );
}

#[test]
fn a_value_stands_in_flattened_and_untagged_fields_too() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        id: i64,
        #[serde(flatten)]
        rest: Inner<ruby::Duration>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum When {
        Time(ruby::Time),
        Date(ruby::Date),
        Options(ruby::Indifferent<Inner<ruby::Decimal>>),
    }
    let minutes = ruby::Duration::of(5, ruby::Unit::Minutes);
    through_arguments(&Flat { id: 1, rest: Inner { inner: minutes } });
    through_arguments(&Only(vec![
        When::Time("2024-01-01T00:00:00Z".parse().unwrap()),
        When::Date("2024-01-01".parse().unwrap()),
        When::Options(ruby::Indifferent(Inner { inner: 5.into() })),
    ]));
}
