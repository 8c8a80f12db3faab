//! `goodjob queues explain`: what a queue string comes to.

use goodjob_core::Pools;
use goodjob_postgres::PgStore;
use goodjob_postgres::queues::{COUNTED_UP_TO, OnlySlow, QueuePlan, QueueSeen};

use super::Workplace;
use super::jobs::words::harmless;
use crate::args::{QueuesExplainArgs, WorkerSettings};
use crate::error::CliError;
use crate::output::table;
use crate::settings::nearest;

pub(super) async fn explain(
    args: &QueuesExplainArgs,
    workplace: &Workplace,
) -> Result<(), CliError> {
    let string = args.string.as_deref().map(str::parse::<Pools>).transpose();
    let string = string.map_err(|error| CliError::Usage(error.to_string()))?;
    let settings = workplace.settings(&WorkerSettings::default())?;
    let max_threads = args.max_threads.unwrap_or(settings.max_threads);
    let pools = string.unwrap_or(settings.queues).with_default(max_threads);
    let store = PgStore::connect(settings.database.ok_or(CliError::NoDatabase)?).await?;
    let plan = store.explain_queues(&pools).await?;
    store.close().await;
    workplace.output().result(&plan, || harmless(&text(&plan)));
    Ok(())
}

fn text(plan: &QueuePlan) -> String {
    let pools = plan.pools.iter().enumerate().map(|(place, pool)| {
        let takes: Vec<_> = pool.takes.iter().map(|queue| name(queue.as_deref())).collect();
        let takes =
            if takes.is_empty() { "nothing that is there".to_owned() } else { takes.join(", ") };
        [(place + 1).to_string(), pool.queues.clone(), pool.max_threads.to_string(), takes]
    });
    let mut sections = vec![table(["pool", "queues", "slots", "takes now"], pools)];
    let headers = ["queue", "waiting", "due", "running", "typical", "slowest 5%", "pools"];
    sections.push(match plan.queues.is_empty() {
        true => "no queue has jobs".to_owned(),
        false => table(headers, plan.queues.iter().map(queue)),
    });
    sections.push(findings(plan).join("\n"));
    sections.join("\n\n")
}

fn queue(seen: &QueueSeen) -> [String; 7] {
    let pools: Vec<_> = seen.pools.iter().map(|place| (place + 1).to_string()).collect();
    let time = |seconds: Option<f64>| seconds.map(span).unwrap_or_default();
    [
        name(seen.queue.as_deref()),
        match seen.waiting > COUNTED_UP_TO {
            true => format!("more than {COUNTED_UP_TO}"),
            false => seen.waiting.to_string(),
        },
        seen.due.to_string(),
        seen.running.to_string(),
        time(seen.run_times.map(|times| times.median_seconds)),
        time(seen.run_times.map(|times| times.p95_seconds)),
        if pools.is_empty() { "none".to_owned() } else { pools.join(", ") },
    ]
}

fn findings(plan: &QueuePlan) -> Vec<String> {
    let untaken = plan.untaken.iter().map(|queue| {
        let seen = plan.queues.iter().find(|seen| seen.queue == *queue);
        let elsewhere = seen.map_or(0, |seen| seen.processes.len());
        let now = match elsewhere {
            0 => "no live process does now".to_owned(),
            1 => "1 live process does now".to_owned(),
            some => format!("{some} live processes do now"),
        };
        format!("nobody takes {}; {now}", name(queue.as_deref()))
    });
    let known = || plan.queues.iter().filter_map(|seen| seen.queue.as_deref());
    let unseen = plan.unseen.iter().map(|name| match nearest(name, known(), 2) {
        Some(near) => format!("no job is on {name}; did you mean {near}?"),
        None => format!("no job is on {name}"),
    });
    let connections = plan.connections;
    let needed = format!(
        "connections: a goodjob worker uses {} at most, and the jobs theirs; a Ruby one with these pools {}; \
         the server has {} left",
        connections.needed, connections.needed_by_ruby, connections.free
    );
    untaken.chain(plan.only_slow.iter().map(only_slow)).chain(unseen).chain([needed]).collect()
}

fn only_slow(slow: &OnlySlow) -> String {
    let because: Vec<_> = slow
        .because
        .iter()
        .map(|slow| {
            let queue = name(slow.queue.as_deref());
            format!("pool {} takes {queue}, whose jobs take {}", slow.pool + 1, span(slow.seconds))
        })
        .collect();
    let (queue, typical) = (name(slow.queue.as_deref()), span(slow.median_seconds));
    format!("only slow pools take {queue}, whose jobs take {typical}: {}", because.join("; "))
}

fn name(queue: Option<&str>) -> String {
    queue.unwrap_or("(none)").to_owned()
}

/// `12ms`, `2.5s`, `90.0s`.
fn span(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0}ms", seconds * 1000.0) } else { format!("{seconds:.1}s") }
}
