//! One envelope of each Rails, with every type of argument that it has. They were written from the
//! facts of wire contract 2.2 and 2.3.

use std::collections::BTreeMap;
use std::time::Duration as Length;

use goodjob_core::{Payload, ruby};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const RAILS: [(&str, &str); 6] = [
    ("6.1", include_str!("../fixtures/serialized_params/rails_6_1.json")),
    ("7.0", include_str!("../fixtures/serialized_params/rails_7_0.json")),
    ("7.1", include_str!("../fixtures/serialized_params/rails_7_1.json")),
    ("7.2", include_str!("../fixtures/serialized_params/rails_7_2.json")),
    ("8.0", include_str!("../fixtures/serialized_params/rails_8_0.json")),
    ("8.1", include_str!("../fixtures/serialized_params/rails_8_1.json")),
];

/// `Billing::ReportJob.perform_later(account, number, total, final, format: :pdf, …)`
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report(ruby::GlobalId, i64, ruby::Decimal, bool, ruby::Keywords<Options>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    format: ruby::Symbol,
    at: ruby::Time,
    from: ruby::DateTime,
    until: ruby::TimeWithZone,
    on: ruby::Date,
    every: ruby::Duration,
    timeout: ruby::Duration,
    model: ruby::Module,
    filter: ruby::Indifferent<Filter>,
    limits: ruby::SymbolKeys<BTreeMap<String, u32>>,
    titles: BTreeMap<String, String>,
    columns: Vec<ruby::Symbol>,
    watchers: Vec<ruby::GlobalId>,
    fee: ruby::Serialized,
    ratio: f64,
    note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pages: Option<ruby::Range<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    days: Option<ruby::Range<ruby::Date>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    status: String,
    tags: Vec<String>,
    range: ruby::Indifferent<BTreeMap<String, i64>>,
}

fn envelopes() -> impl Iterator<Item = (&'static str, Payload)> {
    RAILS.into_iter().map(|(rails, text)| {
        (rails, Payload::from_value(serde_json::from_str(text).expect("JSON")))
    })
}

#[test]
fn every_rails_is_read_into_types() {
    for (rails, payload) in envelopes() {
        let arguments = payload.arguments().expect("an array");
        let report: Report = arguments.decode().unwrap_or_else(|e| panic!("Rails {rails}: {e}"));
        let Report(account, number, total, last, ruby::Keywords(options)) = report;
        assert_eq!((account.model(), account.id(), number), ("Account", "42", (1 << 53) + 1));
        assert_eq!(total, "1234567890123456789.05".parse().unwrap(), "Rails {rails}");
        assert!(last && options.note.is_none());
        assert_eq!(options.format, "pdf");
        assert_eq!(options.at.to_string(), "2026-11-23T18:17:17.123456789Z");
        assert_eq!(options.from, "2026-11-01T00:00:00Z".parse().unwrap());
        let has_zone = !["6.1", "7.0"].contains(&rails);
        assert_eq!(options.until.at, "2026-11-30T23:00:00.5Z".parse::<ruby::Time>().unwrap().0);
        assert_eq!(options.until.zone, has_zone.then(|| "Europe/Paris".to_owned()));
        assert_eq!(options.on, "2026-11-24".parse().unwrap());
        let parts: Vec<_> = options.every.parts().collect();
        assert_eq!(parts, [(ruby::Unit::Months, 1.0), (ruby::Unit::Days, 2.0)]);
        assert_eq!(Length::try_from(options.every).unwrap(), Length::from_secs(2_802_546));
        assert_eq!(Length::try_from(options.timeout).unwrap(), Length::from_millis(1500));
        assert_eq!(options.model, "Billing::Invoice");
        assert_eq!(options.filter.0.tags, ["a", "ä🐘"]);
        assert_eq!(options.filter.0.range.0, [("min".to_owned(), 1)].into());
        assert_eq!(options.limits.0["rows"], 100);
        assert_eq!(options.titles["de"], "Bericht");
        assert_eq!(options.columns, ["id", "total"].map(ruby::Symbol::from));
        assert_eq!(options.watchers[1].model(), "Admin::User");
        assert_eq!(options.fee.keys["meta"], json!({"a": 1, "_aj_symbol_keys": ["a"]}));
        let has_ranges = rails != "6.1";
        assert_eq!(options.pages, has_ranges.then(|| (1..9).into()));
        let first: ruby::Date = "2026-11-01".parse().unwrap();
        assert_eq!(options.days, has_ranges.then(|| (first..).into()));
    }
}

#[test]
fn what_is_written_back_says_the_same() {
    for (rails, payload) in envelopes() {
        let report: Report = payload.arguments().expect("an array").decode().unwrap();
        let again = goodjob_core::Arguments::encode(&report).unwrap();
        let written = json!(again.as_stored());
        assert_eq!(written[2], "1234567890123456789.05", "no Rails fails on a text");
        assert_eq!(written[4]["fee"], payload.get("arguments").unwrap()[4]["fee"]);
        assert_eq!(again.decode::<Report>().unwrap(), report, "Rails {rails}");
    }
}

#[test]
fn a_retry_changes_the_counts_and_the_providers_id_and_no_other_key() {
    for (rails, payload) in envelopes() {
        let mut retried = payload.clone();
        retried.count_retry(Some("[IOError]"));
        let (mut before, mut after) = (payload.into_value(), retried.into_value());
        assert_eq!(after["executions"], json!(before["executions"].as_u64().unwrap() + 1));
        assert_eq!(after["provider_job_id"], before["job_id"]);
        let count = |of: &Value| of["exception_executions"]["[IOError]"].as_u64().unwrap_or(0);
        assert_eq!(count(&after), count(&before) + 1);

        for envelope in [&mut before, &mut after] {
            let counts = envelope["exception_executions"].as_object_mut().unwrap();
            counts.remove("[IOError]");
            let keys = envelope.as_object_mut().unwrap();
            assert!(
                keys.remove("executions").is_some() && keys.remove("provider_job_id").is_some()
            );
        }
        assert_eq!(after, before, "Rails {rails}");
        if rails == "8.1" {
            assert_eq!(after["continuation"]["current"], json!(["write", 40]));
            assert_eq!((&after["resumptions"], &after["tenant"]), (&json!(2), &json!({"id": 3})));
        }
    }
}

#[test]
fn a_handler_elsewhere_is_given_hashes_without_marks_and_values_as_they_are() {
    for (_, payload) in envelopes() {
        let (args, kwargs) = payload.arguments().expect("an array").split();
        assert_eq!(
            (args.len(), &args[0]),
            (4, &json!({"_aj_globalid": "gid://lab-app/Account/42"}))
        );
        assert_eq!(kwargs["limits"], json!({"rows": 100, "bytes": 4096}));
        assert_eq!(kwargs["filter"]["range"], json!({"min": 1}));
        assert_eq!(kwargs["fee"]["meta"], json!({"a": 1, "_aj_symbol_keys": ["a"]}));
        assert!(!kwargs.contains_key("_aj_ruby2_keywords"));
    }
}
