//! Signs what is sent: <https://github.com/standard-webhooks/standard-webhooks>.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::handlers::problem::Problems;
use crate::handlers::settings::{HandlerSettings, Secrets};

/// What stands in front of a secret that is written in base64.
const PREFIX: &str = "whsec_";
/// Reads base64 with or without its padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys that requests are signed with; several while one replaces another.
#[derive(Default)]
pub(super) struct Keys(Vec<Vec<u8>>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Keys {
    /// The secrets that are written down, those in a variable and those in a file, in this order.
    pub(super) fn from_settings(settings: &HandlerSettings, problems: &mut Problems) -> Self {
        let mut keys = Self::default();
        let written = settings.secret.iter().flat_map(Secrets::as_slice);
        written.for_each(|secret| keys.add("secret", secret.reveal(), problems));
        if let Some(name) = &settings.secret_env {
            match std::env::var(name) {
                Ok(secrets) => keys.add_all("secret_env", &secrets, problems),
                Err(error) => problems.add("secret_env", format_args!("{name:?}: {error}")),
            }
        }
        if let Some(path) = &settings.secret_file {
            match std::fs::read_to_string(path) {
                Ok(secrets) => keys.add_all("secret_file", &secrets, problems),
                Err(error) => problems.add("secret_file", format_args!("{path:?}: {error}")),
            }
        }
        keys
    }

    /// `webhook-signature`: one signature for each key, `None` without any.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
        let signed = self.0.iter().map(|key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        let signed: Vec<String> = signed.collect();
        (!signed.is_empty()).then(|| signed.join(" "))
    }

    fn add_all(&mut self, key: &str, secrets: &str, problems: &mut Problems) {
        if secrets.trim().is_empty() {
            problems.add(key, "found nothing, expected a secret");
        }
        secrets.split_whitespace().for_each(|secret| self.add(key, secret, problems));
    }

    fn add(&mut self, key: &str, secret: &str, problems: &mut Problems) {
        let decoded = match secret.strip_prefix(PREFIX) {
            Some(base64) => LENIENT.decode(base64).ok(),
            None => Some(secret.as_bytes().to_vec()),
        };
        match decoded {
            Some(bytes) if bytes.is_empty() => {
                problems.add(key, "found nothing, expected a secret");
            }
            Some(bytes) => self.0.push(bytes),
            None => problems.add(key, "found no base64 after \"whsec_\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn keys(mut settings: Value) -> Result<Keys, String> {
        settings["url"] = json!("http://localhost");
        let settings: HandlerSettings = serde_json::from_value(settings).unwrap();
        let mut problems = Problems::of("MailJob");
        let keys = Keys::from_settings(&settings, &mut problems);
        problems.or(Some(keys)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_of_the_specification_is_signed_as_there() {
        let keys = keys(json!({"secret": SECRET})).unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let sign = |settings| keys(settings).unwrap().sign("id", 1, b"body");
        let both = sign(json!({"secret": [SECRET, "plain"]})).unwrap();
        let each = [SECRET, "plain"].map(|secret| sign(json!({"secret": secret})).unwrap());
        assert_eq!(both, each.join(" "));
        assert_eq!(sign(json!({})), None);
    }

    #[test]
    fn secrets_come_from_files_and_variables_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{SECRET}\nplain\n")).unwrap();
        assert_eq!(keys(json!({"secret_file": file.path()})).unwrap().0.len(), 2);
        // Cargo sets it for every test.
        let variable = keys(json!({"secret_env": "CARGO_PKG_NAME"})).unwrap();
        assert_eq!(variable.0, [b"goodjob-cli".to_vec()]);
    }

    #[test]
    fn a_bad_secret_is_told_but_not_shown() {
        let problem = |settings| keys(settings).unwrap_err();
        let bad = problem(json!({"secret": "whsec_hush!"}));
        assert_eq!(bad, "jobs.\"MailJob\".secret: found no base64 after \"whsec_\"");
        assert!(problem(json!({"secret": ""})).contains("expected a secret"));
        assert!(
            problem(json!({"secret_env": "NO_SUCH_VARIABLE_7"})).contains("NO_SUCH_VARIABLE_7")
        );
        assert!(problem(json!({"secret_file": "/nowhere"})).contains("/nowhere"));
    }
}
