//! What the end of a command means for its job.

use std::collections::BTreeSet;
use std::process::ExitStatus;

use goodjob_core::{JobError, JobResult, Verdict};

use crate::handlers::answer::Answer;

/// EX_TEMPFAIL of `sysexits.h`: not now.
const NOT_NOW: i32 = 75;

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ending<'a> {
    pub(super) status: ExitStatus,
    /// The last line of stdout.
    pub(super) answer: &'a [u8],
    /// The end of stderr.
    pub(super) report: String,
}

impl Ending<'_> {
    pub(super) fn judge(self, discard: &BTreeSet<i32>) -> JobResult {
        match self.status.code() {
            Some(0) => {
                if let Ok(result) = serde_json::from_slice::<serde_json::Value>(self.answer) {
                    tracing::debug!(%result, "the command is done");
                }
                Ok(())
            }
            Some(NOT_NOW) => Err(self.not_now()),
            Some(code) if discard.contains(&code) => {
                Err(self.into_error("CommandRefused").with_verdict(Verdict::Discard))
            }
            // Another code, or a signal.
            _ => Err(self.into_error("CommandFailed")),
        }
    }

    fn not_now(self) -> JobError {
        match Answer::read(self.answer).retry_in() {
            Some(wait) => JobError::snooze(wait),
            None => self.into_error("TemporaryFailure"),
        }
    }

    fn into_error(self, class: &'static str) -> JobError {
        let (status, report) = (self.status, self.report);
        Answer::read(self.answer).into_error(class, || match report.as_str() {
            "" => format!("{status}, and nothing on stderr"),
            report => format!("{status}: {report}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use super::*;

    fn judge(raw: i32, answer: &str, report: &str) -> (Option<Verdict>, String) {
        let ending = Ending {
            status: ExitStatus::from_raw(raw),
            answer: answer.as_bytes(),
            report: report.to_owned(),
        };
        match ending.judge(&BTreeSet::from([65, 100, 3])) {
            Ok(()) => (None, "done".to_owned()),
            Err(error) => (error.verdict(), error.to_string()),
        }
    }

    fn exit(code: i32, answer: &str, report: &str) -> (Option<Verdict>, String) {
        judge(code << 8, answer, report)
    }

    #[test]
    fn the_exit_code_decides() {
        assert_eq!(exit(0, "", "warning"), (None, "done".into()));
        assert_eq!(exit(1, "", "boom"), (None, "CommandFailed: exit status: 1: boom".into()));
        let silent = "CommandFailed: exit status: 2, and nothing on stderr";
        assert_eq!(exit(2, "", ""), (None, silent.into()));
        for code in [65, 100, 3] {
            assert_eq!(exit(code, "", "x").0, Some(Verdict::Discard), "{code}");
        }
        assert_eq!(judge(9, "", "").1, "CommandFailed: signal: 9 (SIGKILL), and nothing on stderr");
        assert_eq!(exit(75, "", "busy"), (None, "TemporaryFailure: exit status: 75: busy".into()));
    }

    #[test]
    fn the_last_line_says_more() {
        let snooze = Some(Verdict::Snooze(Duration::from_secs(300)));
        assert_eq!(exit(75, r#"{"retry_in": 300}"#, "").0, snooze);
        assert_eq!(exit(1, r#"{"retry_in": 300}"#, "").0, None, "only 75 puts off");
        let told = r#"{"error": {"class": "Boom", "message": "no"}}"#;
        assert_eq!(exit(1, told, "noise").1, "Boom: no");
        assert_eq!(exit(65, told, "noise"), (Some(Verdict::Discard), "Boom: no".into()));
        assert_eq!(exit(0, told, "").1, "done");
    }
}
