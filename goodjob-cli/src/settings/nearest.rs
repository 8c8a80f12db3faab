//! Names that look like a setting and are none.

use super::keys::{CONFIG_VARIABLE, GEM_ONLY, KEYS, Key, QUEUS_VARIABLE};
use crate::environment::Environment;

/// What a command that does a job finds in its environment; a `goodjob enqueue` that it runs must not
/// stumble over them.
const OF_A_JOB: [&str; 5] =
    ["GOOD_JOB_ID", "GOOD_JOB_CLASS", "GOOD_JOB_QUEUE", "GOOD_JOB_ATTEMPT", "GOOD_JOB_DEADLINE"];

/// What to say about a key of the file that is no setting.
pub(super) fn about_key(key: &str) -> String {
    let names = KEYS.iter().map(|key| key.name).chain(["jobs"]);
    match nearest(key, names, 4) {
        Some(name) => format!("no such setting; did you mean {name}?"),
        None => "no such setting; \"goodjob config show\" lists them".to_owned(),
    }
}

/// The variables that look like settings and are none, with what to say about each.
pub(super) fn variables(environment: &Environment) -> Vec<(String, String)> {
    let in_a_job = environment.get("GOOD_JOB_ID").is_some();
    let strange = environment
        .names()
        .filter(|name| !is_known(name) && (!in_a_job || !OF_A_JOB.contains(name)));
    strange.filter_map(|name| Some((name.to_owned(), about_variable(name)?))).collect()
}

fn is_known(name: &str) -> bool {
    let variables = KEYS.iter().flat_map(|key: &Key| key.variables);
    name == CONFIG_VARIABLE || variables.into_iter().any(|known| *known == name)
}

fn about_variable(name: &str) -> Option<String> {
    if GEM_ONLY.contains(&name) {
        return Some("is read by the gem only and has no effect here".to_owned());
    }
    let ours = name.starts_with("GOOD_JOB_");
    let names = KEYS.iter().flat_map(|key| key.variables).copied();
    // Without our prefix only a slip of a letter or two counts: other programs have variables too.
    let names = names.filter(|known| known.starts_with("GOOD_JOB_") && *known != QUEUS_VARIABLE);
    match nearest(name, names, if ours { 5 } else { 2 }) {
        Some(right) => Some(format!("no such setting; did you mean {right}?")),
        None if ours => Some("no such setting".to_owned()),
        None => None,
    }
}

/// The name with the fewest slips of a letter, if there are at most `slips`, and no more than half of it is.
pub(crate) fn nearest<'a>(
    name: &str,
    names: impl Iterator<Item = &'a str>,
    slips: usize,
) -> Option<&'a str> {
    names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= slips.min(known.len() / 2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
