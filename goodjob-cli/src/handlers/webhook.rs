//! Does a job by posting it to a server, signed as the Standard Webhooks specification has it.

mod addresses;
mod reply;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use goodjob_core::{Context, JobError, JobResult};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy as Redirects;
use reqwest::{Client, RequestBuilder, Url};

use self::addresses::{Guarded, Refused};
use self::signature::Keys;
use super::cutoff::cut_off;
use super::input::Input;
use super::problem::Problems;
use super::settings::{HandlerSettings, Hidden};

/// How long a connection may take: a server that is up answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that does the jobs of one class.
#[derive(Debug)]
pub(super) struct Webhook {
    url: Url,
    client: Client,
    keys: Keys,
    limit: Option<Duration>,
}

impl Webhook {
    pub(super) fn from_settings(
        url: &Hidden,
        settings: &HandlerSettings,
        limit: Option<Duration>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let guarded = !settings.allow_metadata_addresses.unwrap_or(false);
        let url = checked_url(url, guarded, problems);
        let keys = Keys::from_settings(settings, problems);
        let client = client(guarded)
            .map_err(|error| problems.add("url", format_args!("no client can be made: {error}")))
            .ok();
        Some(Self { url: url?, client: client?, keys, limit })
    }

    pub(super) async fn perform(&self, input: &Input, cx: &Context) -> JobResult {
        let posting = async {
            let sent = self.request(input, cx, Utc::now().timestamp()).send().await;
            reply::judge(sent.map_err(unreachable)?).await
        };
        tokio::select! {
            biased;
            result = posting => result,
            error = cut_off(cx, self.limit) => Err(error),
        }
    }

    fn request(&self, input: &Input, cx: &Context, timestamp: i64) -> RequestBuilder {
        let id = cx.execution_id().to_string();
        let signature = self.keys.sign(&id, timestamp, &input.json);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("goodjob-attempt", cx.attempt())
            .header("idempotency-key", cx.job_id().to_string())
            .body(input.json.clone());
        signature.into_iter().fold(request, |r, signature| r.header("webhook-signature", signature))
    }
}

fn client(guarded: bool) -> reqwest::Result<Client> {
    // An error says that somebody has installed one before us, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("goodjob/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Redirects::none())
        // A proxy would look names up by itself, past the guard.
        .no_proxy();
    if guarded { builder.dns_resolver(Arc::new(Guarded)) } else { builder }.build()
}

fn checked_url(url: &Hidden, guarded: bool, problems: &mut Problems) -> Option<Url> {
    let url = Url::parse(url.reveal())
        .map_err(|error| problems.add("url", format_args!("{error}, expected http or https")))
        .ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        let found = url.scheme();
        problems.add("url", format_args!("found the scheme {found:?}, expected http or https"));
    }
    if guarded && let Some(address) = addresses::written_in(&url).filter(addresses::is_guarded) {
        problems.add("url", Refused { address });
    }
    Some(url)
}

/// The address may hold a password, so it is left out; who reads this knows it from the settings.
fn unreachable(error: reqwest::Error) -> JobError {
    JobError::from(error.without_url()).with_class("ServerUnreachable")
}
