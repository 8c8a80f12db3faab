//! Checks the settings of a class and makes its handler: the policy, and the work.

use std::sync::Arc;
use std::time::Duration;

use goodjob_core::{
    Arguments, Backoff, BareContext, Context, Handler, JobError, JobResult, Policy, Preserve,
    Retry, Run, Running,
};

use super::command::Command;
use super::input::Input;
use super::limits::LimitTemplates;
use super::problem::{HandlerError, Problems};
use super::settings::{HandlerSettings, Span};
use super::webhook::Webhook;

/// Attempts at a job, the first included: 5, as Active Job's `retry_on`.
pub const DEFAULT_ATTEMPTS: u32 = 5;
/// Time limit of a command: 10 minutes. Without one, a command that hangs holds its slot for ever.
pub const DEFAULT_COMMAND_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Time limit of a request: 60 seconds, after which most proxies have hung up anyway.
pub const DEFAULT_URL_TIMEOUT: Duration = Duration::from_secs(60);
/// Time between SIGTERM and SIGKILL: 1.5 seconds, which leaves a worker's grace of 2 seconds
/// ([`DEFAULT_CANCEL_GRACE`](goodjob_core::DEFAULT_CANCEL_GRACE)) enough to see the end.
pub const DEFAULT_KILL_AFTER: Duration = Duration::from_millis(1500);

/// `wait = "exponential"`: 2, 4, 8 … seconds, an hour at most.
const EXPONENTIAL: Backoff =
    Backoff::Exponential { base: Duration::from_secs(2), max: Duration::from_secs(60 * 60) };
/// What a command may need after SIGKILL until its end is known.
const REAPING: Duration = Duration::from_millis(500);

/// The work, once it is known to be well described.
#[derive(Debug)]
enum Work {
    Command(Command),
    Webhook(Webhook),
}

impl Work {
    async fn perform(&self, arguments: Option<Arguments>, cx: Context) -> JobResult {
        let input = Input::of(arguments, &cx)?;
        match self {
            Self::Command(command) => command.perform(&input, &cx).await,
            Self::Webhook(webhook) => webhook.perform(&input, &cx).await,
        }
    }

    fn into_run(self, limits: LimitTemplates) -> Arc<Run> {
        let (work, limits) = (Arc::new(self), Arc::new(limits));
        Arc::new(move |arguments: Option<Arguments>, cx: BareContext| -> Running {
            let (work, limits) = (Arc::clone(&work), Arc::clone(&limits));
            Box::pin(async move {
                if let Some(arguments) = &arguments {
                    let unfit = |error| JobError::discard(error).with_class("LimitsError");
                    cx.admit(&limits.of(arguments).map_err(unfit)?).await?;
                }
                work.perform(arguments, cx.with_state(())).await
            })
        })
    }
}

impl HandlerSettings {
    /// The handler of `class`. Reads the files and variables that hold secrets.
    ///
    /// # Errors
    /// Names every key that is wrong, what was found and what was expected.
    pub fn build(&self, class: &str) -> Result<Handler, HandlerError> {
        let mut problems = Problems::of(class);
        let retry = self.retry(&mut problems);
        let limit = self.limit(&mut problems);
        let preserve = self.preserve(&mut problems);
        let limits = LimitTemplates::build(&self.limits, &mut problems);
        self.refuse_misplaced_keys(&mut problems);
        let work = self.work(limit, &mut problems);
        let policy = Policy::new().retry_on_any(retry);
        let policy = limit.into_iter().fold(policy, Policy::timeout);
        let policy = preserve.into_iter().fold(policy, Policy::preserve);
        problems.or(work.map(|work| Handler { policy, run: work.into_run(limits) }))
    }

    /// How many jobs of `class` may wait and run.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub(crate) fn limits(&self, class: &str) -> Result<LimitTemplates, HandlerError> {
        let mut problems = Problems::of(class);
        let limits = LimitTemplates::build(&self.limits, &mut problems);
        problems.or(Some(limits))
    }

    /// How long an attempt may take to end once it is cancelled. A worker's
    /// [`cancel_grace`](goodjob_core::Config::cancel_grace) should be no shorter than the longest of
    /// its handlers: a command that outlives the grace is killed at its end.
    #[must_use]
    pub fn wind_up(&self) -> Duration {
        match self.command {
            Some(_) => {
                self.kill_after.as_ref().and_then(Span::duration).unwrap_or(DEFAULT_KILL_AFTER)
                    + REAPING
            }
            None => Duration::ZERO,
        }
    }

    fn work(&self, limit: Option<Duration>, problems: &mut Problems) -> Option<Work> {
        match (&self.command, &self.url) {
            (Some(words), None) => {
                Command::from_settings(words, self, limit, problems).map(Work::Command)
            }
            (None, Some(url)) => {
                Webhook::from_settings(url, self, limit, problems).map(Work::Webhook)
            }
            (Some(_), Some(_)) => {
                problems.add("command", "found a url too, expected only one of them");
                None
            }
            (None, None) => {
                problems.add("command", "found neither command nor url, expected one of them");
                None
            }
        }
    }

    fn retry(&self, problems: &mut Problems) -> Retry {
        let attempts = self.attempts.unwrap_or(DEFAULT_ATTEMPTS);
        if attempts == 0 {
            problems.add("attempts", "found 0, expected 1 or more");
        }
        let wait = match &self.wait {
            None => Backoff::Polynomial,
            Some(word) if word.is_word("polynomial") => Backoff::Polynomial,
            Some(word) if word.is_word("exponential") => EXPONENTIAL,
            Some(span) => Backoff::Constant(span.duration().unwrap_or_else(|| {
                const WAITS: &str =
                    "\"polynomial\", \"exponential\", seconds or a text such as \"30s\"";
                problems.add("wait", format_args!("found {span}, expected {WAITS}"));
                Duration::ZERO
            })),
        };
        Retry::attempts(attempts).wait(wait)
    }

    fn limit(&self, problems: &mut Problems) -> Option<Duration> {
        let span = match (&self.timeout, &self.url) {
            (Some(span), _) => span,
            (None, Some(_)) => return Some(DEFAULT_URL_TIMEOUT),
            (None, None) => return Some(DEFAULT_COMMAND_TIMEOUT),
        };
        if span.is_word("none") {
            return None;
        }
        let limit = span.duration().filter(|limit| !limit.is_zero());
        if limit.is_none() {
            const LIMITS: &str =
                "seconds, a text such as \"30s\" (more than 0, up to a year) or \"none\"";
            problems.add("timeout", format_args!("found {span}, expected {LIMITS}"));
        }
        limit
    }

    fn preserve(&self, problems: &mut Problems) -> Option<Preserve> {
        match self.preserve.as_deref().map(str::trim)? {
            "always" => Some(Preserve::Always),
            "never" => Some(Preserve::Never),
            "on_unhandled_error" => Some(Preserve::OnUnhandledError),
            other => {
                const WORDS: &str = "\"always\", \"never\" or \"on_unhandled_error\"";
                problems.add("preserve", format_args!("found {other:?}, expected {WORDS}"));
                None
            }
        }
    }

    /// A key that has no effect is a misunderstanding, and with `secret` a dangerous one.
    fn refuse_misplaced_keys(&self, problems: &mut Problems) {
        let of_command = [
            ("cwd", self.cwd.is_some()),
            ("env", self.env.is_some()),
            ("env_allow", self.env_allow.is_some()),
            ("kill_after", self.kill_after.is_some()),
            ("discard_exit_codes", self.discard_exit_codes.is_some()),
        ];
        let of_url = [
            ("secret", self.secret.is_some()),
            ("secret_env", self.secret_env.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("allow_metadata_addresses", self.allow_metadata_addresses.is_some()),
        ];
        let (misplaced, found, expected) = match (&self.command, &self.url) {
            (Some(_), None) => (&of_url[..], "command", "url"),
            (None, Some(_)) => (&of_command[..], "url", "command"),
            _ => return,
        };
        for (key, _) in misplaced.iter().filter(|(_, given)| *given) {
            problems.add(key, format_args!("found beside {found}, expected only with {expected}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use goodjob_core::Decision;
    use serde_json::{Value, json};

    use super::*;

    fn build(settings: Value) -> Result<Handler, HandlerError> {
        serde_json::from_value::<HandlerSettings>(settings).unwrap().build("MailJob")
    }

    fn waits(settings: Value) -> Vec<u64> {
        let policy = build(settings).unwrap().policy;
        (0..9)
            .map_while(|times| match policy.decide(&JobError::from("x"), |_| times, 0.0) {
                Decision::Retry { wait, .. } => Some(wait.as_secs()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn by_default_five_attempts_with_growing_waits_and_a_time_limit() {
        assert_eq!(waits(json!({"command": ["true"]})), [3, 18, 83, 258]);
        let limit = |settings| build(settings).unwrap().policy.time_limit();
        assert_eq!(limit(json!({"command": ["true"]})), Some(DEFAULT_COMMAND_TIMEOUT));
        assert_eq!(limit(json!({"url": "http://localhost"})), Some(DEFAULT_URL_TIMEOUT));
        assert_eq!(limit(json!({"command": ["true"], "timeout": "none"})), None);
    }

    #[test]
    fn waits_and_attempts_are_chosen() {
        let command =
            |attempts, wait: &str| json!({"command": ["true"], "attempts": attempts, "wait": wait});
        assert_eq!(waits(command(3, "exponential")), [2, 4]);
        assert_eq!(waits(command(3, "polynomial")), [3, 18]);
        assert_eq!(waits(command(2, "1m")), [60]);
        assert!(waits(command(1, "1m")).is_empty());
    }

    #[test]
    fn a_class_may_say_which_of_its_jobs_are_kept() {
        let kept = |word: Value| {
            let settings = json!({"command": ["true"], "preserve": word});
            build(settings).map(|handler| handler.policy.preserved())
        };
        assert_eq!(kept(Value::Null).unwrap(), None);
        assert_eq!(kept(json!("always")).unwrap(), Some(Preserve::Always));
        assert_eq!(kept(json!("never")).unwrap(), Some(Preserve::Never));
        assert_eq!(kept(json!("on_unhandled_error")).unwrap(), Some(Preserve::OnUnhandledError));
        assert_eq!(
            kept(json!("sometimes")).unwrap_err().problems(),
            [
                r#"jobs."MailJob".preserve: found "sometimes", expected "always", "never" or "on_unhandled_error""#
            ]
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let error = build(json!({
            "command": [], "timeout": "soon", "attempts": 0, "wait": "often", "kill_after": -1,
            "cwd": "/nowhere", "env": {"A=B": "x", "C": "\u{0}"}, "discard_exit_codes": [0, 75, 300],
            "secret": "x",
        }))
        .unwrap_err();
        assert_eq!(
            error.problems(),
            [
                r#"jobs."MailJob".attempts: found 0, expected 1 or more"#,
                r#"jobs."MailJob".wait: found "often", expected "polynomial", "exponential", seconds or a text such as "30s""#,
                r#"jobs."MailJob".timeout: found "soon", expected seconds, a text such as "30s" (more than 0, up to a year) or "none""#,
                r#"jobs."MailJob".secret: found beside command, expected only with url"#,
                r#"jobs."MailJob".command: found an empty list, expected a program and its arguments"#,
                r#"jobs."MailJob".cwd: found "/nowhere", expected a directory"#,
                r#"jobs."MailJob".env."A=B": found a name with "=" or NUL in it, expected a variable's name"#,
                r#"jobs."MailJob".env."C": found a value with NUL in it, which no variable can hold"#,
                r#"jobs."MailJob".kill_after: found -1, expected seconds or a text such as "30s""#,
                r#"jobs."MailJob".discard_exit_codes: found 0, which means done"#,
                r#"jobs."MailJob".discard_exit_codes: found 75, which means try again"#,
                r#"jobs."MailJob".discard_exit_codes: found 300, expected 1 to 255"#,
            ]
        );
        assert_eq!(error.to_string().lines().count(), 12);
    }

    #[test]
    fn exactly_one_of_command_and_url() {
        let problem = |settings| build(settings).unwrap_err().to_string();
        assert!(problem(json!({})).contains("neither"));
        let both = json!({"command": ["true"], "url": "http://localhost"});
        assert!(problem(both).contains("only one of them"));
        let misplaced = json!({"url": "http://localhost", "cwd": "/"});
        assert!(problem(misplaced).contains(r#""MailJob".cwd: found beside url"#));
    }

    #[test]
    fn a_command_tells_how_long_it_takes_to_wind_up() {
        let wind_up = |settings: Value| {
            serde_json::from_value::<HandlerSettings>(settings).unwrap().wind_up().as_millis()
        };
        assert_eq!(wind_up(json!({"command": ["true"]})), 2000);
        assert_eq!(wind_up(json!({"command": ["true"], "kill_after": 20})), 20_500);
        assert_eq!(wind_up(json!({"url": "http://localhost"})), 0);
    }
}
