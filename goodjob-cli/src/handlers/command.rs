//! Does a job by running a command: directly, never through a shell, in a process group of its own.

mod ending;
mod group;
mod output;
mod pumps;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use goodjob_core::{Context, JobError, JobResult};
use tracing::Instrument;

use self::ending::Ending;
use self::group::Group;
use self::output::{Report, Tail};
use self::pumps::{Pumps, copy, feed};
use super::answer::LONGEST_ANSWER;
use super::build::DEFAULT_KILL_AFTER;
use super::cutoff::{cut_off, timed_out};
use super::input::Input;
use super::problem::Problems;
use super::settings::{HandlerSettings, Hidden};

/// The variables of the worker that a command always gets. All others stay here: a worker's
/// environment holds its database password.
const ALLOWED: [&str; 11] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// Exit codes that end the job: EX_DATAERR of `sysexits.h`, and 100, by which mail systems say
/// "permanent".
const DISCARD: [i32; 2] = [65, 100];
/// How long the output of a command that has ended may still come, from children of its own.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The same for a command that was killed: whatever holds its pipes then has left its group.
const LAST_GASP: Duration = Duration::from_millis(100);

/// A command that does the jobs of one class.
#[derive(Debug)]
pub(super) struct Command {
    program: String,
    arguments: Vec<String>,
    cwd: Option<PathBuf>,
    env: BTreeMap<String, Hidden>,
    env_allow: Vec<String>,
    kill_after: Duration,
    discard: BTreeSet<i32>,
    limit: Option<Duration>,
}

impl Command {
    pub(super) fn from_settings(
        words: &[String],
        settings: &HandlerSettings,
        limit: Option<Duration>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let (program, arguments) = match words {
            [program, arguments @ ..] => (program.clone(), arguments.to_vec()),
            [] => {
                let problem = "found an empty list, expected a program and its arguments";
                problems.add("command", problem);
                (String::new(), Vec::new())
            }
        };
        if words.iter().any(|word| word.contains('\0')) {
            problems.add("command", "found NUL, which no argument can hold");
        }
        Some(Self {
            program,
            arguments,
            cwd: checked_cwd(settings, problems),
            env: checked_env(settings, problems),
            env_allow: settings.env_allow.clone().unwrap_or_default(),
            kill_after: checked_kill_after(settings, problems),
            discard: checked_codes(settings, problems),
            limit,
        })
    }

    pub(super) async fn perform(&self, input: &Input, cx: &Context) -> JobResult {
        let mut group = Group::spawn(&mut self.process(input, cx)).map_err(|error| {
            tracing::error!(program = self.program, %error, "the command cannot be started");
            JobError::from(format!("cannot start {:?}: {error}", self.program))
                .with_class("CommandNotStarted")
        })?;
        let span = tracing::info_span!("command", pid = group.id());
        self.supervise(&mut group, input, cx).instrument(span).await
    }

    fn process(&self, input: &Input, cx: &Context) -> tokio::process::Command {
        let mut process = tokio::process::Command::new(&self.program);
        let allowed = ALLOWED.into_iter().chain(self.env_allow.iter().map(String::as_str));
        process
            .args(&self.arguments)
            .env_clear()
            .envs(allowed.filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(self.env.iter().map(|(name, value)| (name, value.reveal())))
            .env("GOOD_JOB_ID", cx.job_id().to_string())
            .env("GOOD_JOB_CLASS", cx.class())
            .env("GOOD_JOB_ATTEMPT", cx.attempt().to_string())
            .envs(cx.queue().map(|queue| ("GOOD_JOB_QUEUE", queue)))
            .envs(input.deadline.as_ref().map(|at| ("GOOD_JOB_DEADLINE", at)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(cwd) = &self.cwd {
            process.current_dir(cwd);
        }
        process
    }

    /// Cancel safe in the one way that counts: dropped at any await, it kills the group.
    async fn supervise(&self, group: &mut Group, input: &Input, cx: &Context) -> JobResult {
        let (stdin, stdout, stderr) = group.pipes();
        // Two bytes more than an answer, for the line's end and a sign that something came before.
        let mut answer = Tail::of(LONGEST_ANSWER + 2);
        let mut report = Report::default();
        let moving = async {
            tokio::join!(
                feed(stdin, &input.json),
                copy(stdout, |bytes| answer.push(bytes)),
                copy(stderr, |bytes| report.push(bytes)),
            );
        };
        let mut pumps = Pumps::of(moving);

        let cut = self.watch(group, &mut pumps, cx).await;
        drop(pumps);
        let status = group.reap().await?;

        let ending =
            Ending { status, answer: answer.last_line(LONGEST_ANSWER), report: report.end() };
        match cut {
            Some(error) if timed_out(&error) || !status.success() => Err(error),
            _ => ending.judge(&self.discard),
        }
    }

    /// Waits for the end of the command, its own or ours, and lets nothing outlive it. Returns why
    /// the attempt was cut off, if it was.
    async fn watch<F: Future<Output = ()>>(
        &self,
        group: &mut Group,
        pumps: &mut Pumps<F>,
        cx: &Context,
    ) -> Option<JobError> {
        let cut = pumps
            .during(async {
                tokio::select! {
                    biased;
                    () = group.exited() => None,
                    error = cut_off(cx, self.limit) => Some(error),
                }
            })
            .await;
        if cut.is_some() {
            pumps.during(group.terminate(self.kill_after)).await;
        }
        pumps.drain(if cut.is_some() { LAST_GASP } else { LAST_WORDS }).await;
        group.kill();
        pumps.drain(LAST_GASP).await;
        cut
    }
}

fn checked_cwd(settings: &HandlerSettings, problems: &mut Problems) -> Option<PathBuf> {
    let cwd = settings.cwd.clone();
    if let Some(missing) = cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        problems.add("cwd", format_args!("found {missing:?}, expected a directory"));
    }
    cwd
}

fn checked_env(settings: &HandlerSettings, problems: &mut Problems) -> BTreeMap<String, Hidden> {
    let env = settings.env.clone().unwrap_or_default();
    for (name, value) in &env {
        let key = format!("env.{name:?}");
        if name.is_empty() || name.contains(['=', '\0']) {
            let problem = "found a name with \"=\" or NUL in it, expected a variable's name";
            problems.add(&key, problem);
        }
        if value.reveal().contains('\0') {
            problems.add(&key, "found a value with NUL in it, which no variable can hold");
        }
    }
    env
}

fn checked_kill_after(settings: &HandlerSettings, problems: &mut Problems) -> Duration {
    let Some(span) = &settings.kill_after else { return DEFAULT_KILL_AFTER };
    span.duration().unwrap_or_else(|| {
        let expected = "expected seconds or a text such as \"30s\"";
        problems.add("kill_after", format_args!("found {span}, {expected}"));
        DEFAULT_KILL_AFTER
    })
}

fn checked_codes(settings: &HandlerSettings, problems: &mut Problems) -> BTreeSet<i32> {
    let mut codes = BTreeSet::from(DISCARD);
    for code in settings.discard_exit_codes.iter().flatten() {
        let mut wrong =
            |problem| problems.add("discard_exit_codes", format_args!("found {code}, {problem}"));
        match *code {
            0 => wrong("which means done"),
            75 => wrong("which means try again"),
            _ => match u8::try_from(*code) {
                Ok(code) => drop(codes.insert(code.into())),
                Err(_) => wrong("expected 1 to 255"),
            },
        }
    }
    codes
}
