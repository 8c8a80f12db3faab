//! The kinds of jobs that the application of a [`History`](super::History) has.

use chrono::{TimeDelta, Timelike};
use goodjob_core::Timestamp;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::factory::{FIRST_NAME, LAST_NAME, User};

/// A kind of job: where it runs, how long it takes, and how it fails.
pub(super) struct Kind {
    pub(super) class: &'static str,
    pub(super) queue: &'static str,
    pub(super) priority: i32,
    pub(super) labels: &'static [&'static str],
    /// Its share of the day's jobs.
    weight: u64,
    /// How long it takes mostly, in milliseconds.
    pub(super) usual: u64,
    /// How many of a thousand meet an error.
    pub(super) fails: u64,
    /// Attempts that it has; at one, the error ends it.
    pub(super) attempts: u32,
    /// The error's class and message.
    pub(super) error: (&'static str, &'static str),
    /// Where it was raised.
    pub(super) backtrace: &'static [&'static str],
    pub(super) args: fn(&mut Dice) -> Value,
}

const NET_HTTP: &[&str] = &[
    "/usr/lib/ruby/3.3.0/net/http.rb:1603:in `initialize'",
    "/usr/lib/ruby/3.3.0/net/http.rb:1603:in `open'",
    "/app/lib/api_client.rb:41:in `post'",
];

const WELCOME: Kind = Kind {
    class: "WelcomeMailJob",
    queue: "mailers",
    priority: 10,
    labels: &["mail"],
    weight: 30,
    usual: 180,
    fails: 30,
    attempts: 5,
    error: ("Net::OpenTimeout", "execution expired"),
    backtrace: NET_HTTP,
    args: |dice| {
        let user = User::called(FIRST_NAME.nth(dice.number()), LAST_NAME.nth(dice.number()));
        json!({"to": user.mail, "name": user.first_name})
    },
};

const THUMBNAIL: Kind = Kind {
    class: "ThumbnailJob",
    queue: "images",
    priority: 20,
    labels: &[],
    weight: 25,
    usual: 900,
    fails: 12,
    attempts: 1,
    error: ("Errno::ENOENT", "No such file or directory @ rb_sysopen - /uploads/original.jpg"),
    backtrace: &[
        "/app/app/jobs/thumbnail_job.rb:12:in `initialize'",
        "/app/app/jobs/thumbnail_job.rb:12:in `perform'",
    ],
    args: |dice| json!({"image_id": dice.between(1, 90_000), "width": *dice.pick(&[320, 640, 1280])}),
};

const CHARGE: Kind = Kind {
    class: "Payments::ChargeJob",
    queue: "payments",
    priority: -10,
    labels: &["money"],
    weight: 10,
    usual: 1_200,
    fails: 40,
    attempts: 1,
    error: ("Payments::CardDeclined", "Your card was declined."),
    backtrace: &[
        "/app/app/services/payments/gateway.rb:88:in `charge'",
        "/app/app/jobs/payments/charge_job.rb:9:in `perform'",
    ],
    args: |dice| json!({"order_id": dice.between(10_000, 60_000), "cents": dice.between(500, 25_000)}),
};

const INDEX: Kind = Kind {
    class: "SearchIndexJob",
    queue: "search",
    priority: 50,
    labels: &[],
    weight: 20,
    usual: 60,
    fails: 8,
    attempts: 1,
    error: ("ActiveRecord::RecordNotFound", "Couldn't find Product"),
    backtrace: &["/app/app/jobs/search_index_job.rb:7:in `perform'"],
    args: |dice| json!({"product_id": dice.between(1, 4_000)}),
};

/// Asks a partner, who is away now and then.
pub(super) const SYNC: Kind = Kind {
    class: "SyncContactJob",
    queue: "default",
    priority: 0,
    labels: &["crm"],
    weight: 20,
    usual: 350,
    fails: 60,
    attempts: 4,
    error: ("Faraday::TimeoutError", "Net::ReadTimeout with #<TCPSocket:(closed)>"),
    backtrace: NET_HTTP,
    args: |dice| json!({"contact_id": dice.between(1, 12_000)}),
};

/// Takes long.
pub(super) const REPORT: Kind = Kind {
    class: "ReportJob",
    queue: "reports",
    priority: 100,
    labels: &["slow"],
    weight: 3,
    usual: 25_000,
    fails: 90,
    attempts: 2,
    error: ("PG::QueryCanceled", "ERROR:  canceling statement due to statement timeout"),
    backtrace: &[
        "/app/app/models/report.rb:130:in `exec_params'",
        "/app/app/jobs/report_job.rb:15:in `perform'",
    ],
    args: |dice| json!({"account_id": dice.between(1, 300), "format": *dice.pick(&["pdf", "csv"])}),
};

/// Waits for days.
pub(super) const REMIND: Kind = Kind {
    class: "ReminderMailJob",
    queue: "mailers",
    priority: 10,
    labels: &["mail"],
    weight: 0,
    usual: 200,
    fails: 0,
    attempts: 5,
    error: WELCOME.error,
    backtrace: NET_HTTP,
    args: |dice| json!({"cart_id": dice.between(1, 50_000)}),
};

/// Its class is paused.
pub(super) const PAUSED: Kind = Kind {
    class: "LegacyExportJob",
    queue: "default",
    priority: 0,
    labels: &[],
    weight: 0,
    usual: 4_000,
    fails: 0,
    attempts: 1,
    error: WELCOME.error,
    backtrace: &[],
    args: |dice| json!({"export_id": dice.between(1, 900)}),
};

/// A member of a batch.
pub(super) const IMPORT: Kind = Kind {
    class: "ImportRowsJob",
    queue: "imports",
    priority: 30,
    labels: &[],
    weight: 0,
    usual: 2_500,
    fails: 25,
    attempts: 1,
    error: ("CSV::MalformedCSVError", "Unclosed quoted field in line 118."),
    backtrace: &["/app/app/jobs/import_rows_job.rb:21:in `perform'"],
    args: |dice| json!({"first_row": dice.below(400) * 250}),
};

/// A callback of a batch.
pub(super) const CALLBACK: Kind = Kind { usual: 120, fails: 0, ..IMPORT };

/// Those that requests enqueue.
const KINDS: [Kind; 6] = [WELCOME, THUMBNAIL, CHARGE, INDEX, SYNC, REPORT];

/// A kind, by its share.
pub(super) fn any(dice: &mut Dice) -> &'static Kind {
    static ALL: [Kind; 6] = KINDS;
    let mut drawn = dice.below(ALL.iter().map(|kind| kind.weight).sum());
    for kind in &ALL {
        match drawn.checked_sub(kind.weight) {
            Some(rest) => drawn = rest,
            None => return kind,
        }
    }
    &ALL[0]
}

/// By when the job of a tick is stored.
const MOMENT: TimeDelta = TimeDelta::seconds(1);

/// An entry of cron.
pub(super) struct Routine {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// Minutes between ticks, and the minute of the day of the first.
    every: u32,
    first: u32,
}

pub(super) static CRON: [Routine; 3] = [
    Routine {
        key: "sync_inventory",
        kind: Kind { class: "SyncInventoryJob", args: |_| json!({}), fails: 30, ..SYNC },
        every: 15,
        first: 0,
    },
    Routine {
        key: "hourly_digest",
        kind: Kind { class: "DigestMailJob", args: |_| json!({}), usual: 3_000, ..WELCOME },
        every: 60,
        first: 5,
    },
    Routine {
        key: "nightly_cleanup",
        kind: Kind { class: "CleanupJob", args: |_| json!({"days": 30}), fails: 0, ..REPORT },
        every: 24 * 60,
        first: 150,
    },
];

impl Routine {
    /// The ticks after `start` whose jobs are stored by `end`.
    pub(super) fn ticks(
        &self,
        start: Timestamp,
        end: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let seconds = i64::from(start.second()) * 1_000_000_000 + i64::from(start.nanosecond());
        let minute = start - TimeDelta::nanoseconds(seconds);
        (1..=24 * 60).map(move |n| minute + TimeDelta::minutes(n)).filter(move |at| {
            let of_day = at.hour() * 60 + at.minute();
            *at + MOMENT <= end
                && of_day >= self.first
                && (of_day - self.first).is_multiple_of(self.every)
        })
    }
}
