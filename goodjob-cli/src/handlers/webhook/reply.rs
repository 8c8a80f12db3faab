//! What a server's reply means for its job.

use std::time::Duration;

use chrono::{DateTime, Utc};
use goodjob_core::{JobError, JobResult, Verdict};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};

use crate::handlers::answer::{Answer, LONGEST_ANSWER, LONGEST_TEXT, own_delay};

/// How long a body may take once the status is known. The status has decided; the body only explains.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// What follows a status.
#[derive(Debug, PartialEq)]
enum Next {
    Done,
    /// By the policy.
    Retry,
    /// By the policy, and somebody should look: the address or the key is wrong, usually since a
    /// deploy, and the job is not to blame.
    RetryAndAlert,
    Snooze(Duration),
    Discard,
}

impl Next {
    fn of(status: StatusCode, retry_after: Option<Duration>) -> Self {
        match (status.as_u16(), retry_after) {
            (200..=299, _) => Self::Done,
            (429 | 503, Some(wait)) => Self::Snooze(wait),
            (408 | 425 | 429 | 500..=599, _) => Self::Retry,
            // A redirect is not followed: it could lead anywhere, and would turn a POST into a GET.
            (300..=399 | 401 | 403 | 404, _) => Self::RetryAndAlert,
            (400..=499, _) => Self::Discard,
            // No such status is defined; do not lose the job over it.
            _ => Self::Retry,
        }
    }
}

pub(super) async fn judge(response: Response) -> JobResult {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let next = Next::of(status, retry_after.and_then(|value| delay(value, Utc::now())));
    if let Next::Snooze(wait) = next {
        tracing::info!(%status, ?wait, "the server asks to come back later");
        return Err(JobError::snooze(wait));
    }
    let body = body(response).await;
    match next {
        Next::Done => {
            tracing::debug!(%status, bytes = body.len(), "the server is done");
            Ok(())
        }
        Next::Discard => Err(error(status, &body).with_verdict(Verdict::Discard)),
        Next::RetryAndAlert => {
            tracing::error!(%status, "the server refuses the request: check its address and secret");
            Err(error(status, &body))
        }
        Next::Retry | Next::Snooze(_) => Err(error(status, &body)),
    }
}

fn error(status: StatusCode, body: &[u8]) -> JobError {
    Answer::read(body).into_error("ServerError", || {
        let text = String::from_utf8_lossy(&body[..body.len().min(LONGEST_TEXT)]);
        match text.trim() {
            "" => status.to_string(),
            text => format!("{status}: {text}"),
        }
    })
}

/// The start of the body, as far as it comes in time.
async fn body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = LONGEST_ANSWER - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == LONGEST_ANSWER {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(BODY_PATIENCE, reading).await;
    body
}

/// `Retry-After`: a number of seconds or a date.
fn delay(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(own_delay);
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    let wait = date.with_timezone(&Utc).signed_duration_since(now);
    Some(own_delay(wait.as_seconds_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides() {
        let wait = Duration::from_secs(9);
        let next = |status: u16, after| Next::of(StatusCode::from_u16(status).unwrap(), after);
        for (statuses, expected) in [
            (&[200, 201, 202, 204, 299][..], Next::Done),
            (&[408, 425, 429, 500, 502, 503, 504, 599, 600, 999][..], Next::Retry),
            (&[301, 302, 307, 401, 403, 404][..], Next::RetryAndAlert),
            (&[400, 402, 405, 409, 410, 422, 451, 499][..], Next::Discard),
        ] {
            for status in statuses {
                assert_eq!(next(*status, None), expected, "{status}");
            }
        }
        assert_eq!(next(429, Some(wait)), Next::Snooze(wait));
        assert_eq!(next(503, Some(wait)), Next::Snooze(wait));
        assert_eq!(next(500, Some(wait)), Next::Retry, "only 429 and 503 put off");
        assert_eq!(next(301, Some(wait)), Next::RetryAndAlert);
    }

    #[test]
    fn a_delay_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap().to_utc();
        let delay = |value: &str| delay(value, now).map(|wait| wait.as_secs());
        assert_eq!(delay("120"), Some(120));
        assert_eq!(delay(" 0 "), Some(1));
        assert_eq!(delay("99999999999999999999999999"), Some(30 * 86_400));
        assert_eq!(delay("Fri, 02 Jan 2026 03:05:05 GMT"), Some(60));
        assert_eq!(delay("Fri, 02 Jan 2015 03:05:05 GMT"), Some(1), "past");
        for bad in ["", "-1", "1.5", "soon", "Fri, 99 Jan 2026 03:05:05 GMT", "+5"] {
            assert_eq!(delay(bad), None, "{bad}");
        }
    }
}
