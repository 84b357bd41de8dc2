//! `[alerts]`: the webhook that is told of transactions that need an operator.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use ring::hmac;
use serde::Deserialize;
use toml::Spanned;

use super::Wrong;
use super::secret::Secret;

/// The webhook of alerts, and the key that signs them.
pub struct Alerts {
    /// It may hold a token, so it is not shown.
    pub url: Uri,
    /// The key of HMAC-SHA256.
    pub key: hmac::Key,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertsSection {
    url: Spanned<String>,
    secret: Spanned<Secret>,
}

impl AlertsSection {
    pub fn configured(self) -> Result<Alerts, Wrong> {
        let url = webhook(self.url.get_ref()).map_err(|why| Wrong::about(&self.url, why))?;
        let key = key(self.secret.get_ref()).map_err(|why| Wrong::about(&self.secret, why))?;
        Ok(Alerts { url, key })
    }
}

fn webhook(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|why| format!("the url of [alerts] is none: {why}"))?;
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    let plain = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    match url.scheme_str() {
        Some("http" | "https") if has_host && plain => Ok(url),
        _ => Err("the url of [alerts] begins with http:// or https:// and a host, without a \
                  user's name"
            .to_owned()),
    }
}

/// A key of a length that Standard Webhooks allows.
fn key(secret: &Secret) -> Result<hmac::Key, String> {
    let wrong = || {
        "the secret of [alerts] is whsec_ and the base64 of 24 to 64 random bytes; make one with \
         echo whsec_$(head -c 32 /dev/urandom | base64)"
            .to_owned()
    };
    let text = secret.expose().strip_prefix("whsec_").ok_or_else(wrong)?;
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    match (24..=64).contains(&bytes.len()) {
        true => Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_told_or_signed_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        let parse = |url: &str, secret: &str| {
            std::fs::write(&file, secret).unwrap();
            let text = format!("url = '{url}'\nsecret = 'file:{}'", file.display());
            let section: AlertsSection = toml::from_str(&text).unwrap();
            section.configured().map(|_| ()).map_err(|wrong| (wrong.at > 10, wrong.why))
        };
        let secret = format!("whsec_{}", STANDARD.encode([7; 24]));
        assert!(parse("https://example.test/hook?t=1", &secret).is_ok());
        for url in
            ["example.test/x", "ftp://example.test/", "https://a:b@example.test/", "http:///"]
        {
            let (at_secret, why) = parse(url, &secret).unwrap_err();
            assert!(!at_secret && why.contains("url of [alerts]"), "{url}: {why}");
        }
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        for secret in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%", &short] {
            let (at_secret, why) = parse("https://example.test/", secret).unwrap_err();
            assert!(at_secret && !why.contains(secret), "{secret}: {why}");
        }
    }
}
