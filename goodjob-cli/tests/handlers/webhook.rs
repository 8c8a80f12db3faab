//! What a server is sent, and what its reply means.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{TimeDelta, Utc};
use goodjob_cli::handlers::HandlerSettings;
use goodjob_core::{JobResult, TimedOut, Verdict};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::trial::{attempt, claim, handler, perform, stored, verdict};

/// A server that always gives the same reply, and tells what it was sent.
struct Server {
    url: String,
    requests: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
}

#[derive(Clone)]
struct Reply {
    status: StatusCode,
    header: Option<(&'static str, String)>,
    body: Vec<u8>,
    requests: mpsc::UnboundedSender<(HeaderMap, Bytes)>,
}

async fn reply(State(reply): State<Reply>, headers: HeaderMap, body: Bytes) -> Response {
    let _ = reply.requests.send((headers, body));
    let response = Response::builder().status(reply.status);
    reply
        .header
        .into_iter()
        .fold(response, |r, (k, v)| r.header(k, v))
        .body(reply.body.into())
        .unwrap()
}

impl Server {
    async fn start(status: u16, header: Option<(&'static str, String)>, body: &[u8]) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let status = StatusCode::from_u16(status).unwrap();
        let state = Reply { status, header, body: body.to_vec(), requests: sender };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/jobs", listener.local_addr().unwrap().port());
        let router = Router::new().fallback(reply).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, requests }
    }

    async fn perform(&self) -> JobResult {
        perform(json!({"url": self.url})).await
    }
}

async fn replied(status: u16, header: Option<(&'static str, String)>, body: &[u8]) -> JobResult {
    Server::start(status, header, body).await.perform().await
}

/// A server of which only the first bytes are one.
async fn raw(answer: &'static [u8], ending: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut request = vec![0; 64 * 1024];
        let _ = stream.read(&mut request).await?;
        stream.write_all(answer).await?;
        while !ending.is_empty() {
            stream.write_all(ending).await?;
        }
        Ok::<(), std::io::Error>(())
    });
    url
}

#[tokio::test]
async fn a_request_is_signed_and_says_which_attempt_it_is() {
    let mut server = Server::start(200, None, b"").await;
    let settings = json!({"url": server.url, "secret": ["whsec_c2VjcmV0", "other"]});
    let claim = claim(json!([7, {"to": "x", "_aj_ruby2_keywords": ["to"]}]));
    let (job, execution) = (claim.job.id.to_string(), claim.token.execution.to_string());
    attempt(&handler(settings), claim, None).await.unwrap();

    let (headers, body) = server.requests.recv().await.unwrap();
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(
        (header("webhook-id"), header("idempotency-key")),
        (execution.as_str(), job.as_str())
    );
    assert_eq!(header("goodjob-attempt"), "2");
    let sent: i64 = header("webhook-timestamp").parse().unwrap();
    assert!((Utc::now().timestamp() - sent).abs() < 30, "{sent}");

    let expected = ["secret", "other"].map(|key| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(&[format!("{execution}.{sent}.").as_bytes(), &body].concat());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    });
    assert_eq!(header("webhook-signature"), expected.join(" "));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&body["id"], &body["args"], &body["kwargs"]),
        (&json!(job), &json!([7]), &json!({"to": "x"}))
    );
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let mut server = Server::start(200, None, b"").await;
    server.perform().await.unwrap();
    let (headers, _) = server.requests.recv().await.unwrap();
    assert!(headers.contains_key("webhook-id") && !headers.contains_key("webhook-signature"));
}

#[tokio::test]
async fn the_status_decides() {
    let discard = Err(Some(Verdict::Discard));
    for (statuses, expected) in [
        (&[200, 201, 204][..], Ok(())),
        (&[302, 401, 403, 404, 408, 425, 429, 500, 502, 503][..], Err(None)),
        (&[400, 405, 409, 410, 422][..], discard),
    ] {
        for status in statuses {
            assert_eq!(verdict(replied(*status, None, b"").await), expected, "{status}");
        }
    }
}

#[tokio::test]
async fn a_server_may_put_a_job_off() {
    let after = |value: &str| Some(("retry-after", value.to_owned()));
    let snooze = |seconds| Err(Some(Verdict::Snooze(Duration::from_secs(seconds))));
    assert_eq!(verdict(replied(429, after("120"), b"").await), snooze(120));
    assert_eq!(verdict(replied(503, after("0"), b"").await), snooze(1));
    assert_eq!(verdict(replied(503, after("soon"), b"").await), Err(None));
    assert_eq!(verdict(replied(500, after("120"), b"").await), Err(None));

    let date = (Utc::now() + TimeDelta::hours(1)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let Err(Some(Verdict::Snooze(wait))) = verdict(replied(503, after(&date), b"").await) else {
        panic!("no snooze until {date}");
    };
    assert!((3500..=3600).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn the_error_is_what_the_server_says() {
    let told = br#"{"error": {"class": "BadAmount", "message": "no amount"}}"#;
    assert_eq!(stored(&replied(422, None, told).await.unwrap_err()), "BadAmount: no amount");
    let empty = stored(&replied(500, None, b"").await.unwrap_err());
    assert_eq!(empty, "ServerError: 500 Internal Server Error");
    let odd = stored(&replied(500, None, b"\xff\0 oops").await.unwrap_err());
    assert_eq!(odd, "ServerError: 500 Internal Server Error: \u{fffd}\u{fffd} oops");
    let long = stored(&replied(500, None, &[b'x'; 100_000]).await.unwrap_err());
    assert!((8 * 1024..9 * 1024).contains(&long.len()), "{}", long.len());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = Server::start(200, None, b"").await;
    let location = Some(("location", elsewhere.url.clone()));
    assert_eq!(verdict(replied(307, location, b"").await), Err(None));
    assert!(elsewhere.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_server_that_is_none_is_tried_again() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://user:hush@{}/?token=hush", listener.local_addr().unwrap())
    };
    let error = perform(json!({"url": closed})).await.unwrap_err();
    assert_eq!((error.verdict(), error.class()), (None, "ServerUnreachable"));
    assert!(!format!("{error:?} {error}").contains("hush"), "{error:?}");

    for garbage in
        [&b""[..], b"\xff\0\xff\0", b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-"]
    {
        let error = perform(json!({"url": raw(garbage, b"").await})).await.unwrap_err();
        assert_eq!((error.verdict(), error.class()), (None, "ServerUnreachable"));
    }
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_the_end() {
    let done = raw(b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096]).await;
    perform(json!({"url": done})).await.unwrap();
    // A body that breaks off does not undo its status.
    let broken = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", b"").await;
    perform(json!({"url": broken})).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_at_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let limit = Duration::from_millis(300);
    let silent = handler(json!({"url": url, "timeout": "300ms"}));
    let error = attempt(&silent, claim(json!([])), Some(limit)).await.unwrap_err();
    assert_eq!(error.source().downcast_ref(), Some(&TimedOut { after: limit }));
}

#[test]
fn metadata_addresses_and_other_schemes_are_refused() {
    let problem = |settings: Value| {
        let settings: HandlerSettings = serde_json::from_value(settings).unwrap();
        settings.build("MailJob").map(|_| ()).map_err(|error| error.to_string())
    };
    for url in ["http://169.254.169.254/latest", "http://[fd00:ec2::254]/", "http://[fe80::1]/"] {
        let refused = problem(json!({"url": url})).unwrap_err();
        assert!(refused.contains("allow_metadata_addresses"), "{refused}");
        problem(json!({"url": url, "allow_metadata_addresses": true})).unwrap();
    }
    let scheme = problem(json!({"url": "ftp://example.com"})).unwrap_err();
    assert_eq!(scheme, r#"jobs."MailJob".url: found the scheme "ftp", expected http or https"#);
    let relative = problem(json!({"url": "/jobs"})).unwrap_err();
    assert!(relative.starts_with(r#"jobs."MailJob".url: "#), "{relative}");
}
