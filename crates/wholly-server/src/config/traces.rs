//! `[traces]`: the collector of spans, and the share of transactions that have them.

use std::collections::BTreeMap;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use toml::Spanned;

use super::Wrong;
use super::secret::Secret;

/// The collector, and the spans that it is sent.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The URL of OTLP's `/v1/traces`.
    pub endpoint: Uri,
    /// The name under which the server appears.
    pub service_name: String,
    /// The share of transactions recorded if their client does not say it: from 0 to 1.
    pub sampled: f64,
    /// The headers that identify the server to the collector.
    pub headers: Vec<(HeaderName, Secret)>,
}

/// A collector on the same machine.
const ENDPOINT: &str = "http://127.0.0.1:4318";

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: Uri::from_static(ENDPOINT),
            service_name: "wholly".to_owned(),
            sampled: 1.0,
            headers: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesSection {
    endpoint: Option<Spanned<String>>,
    service_name: Option<String>,
    sampled: Option<Spanned<f64>>,
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, Spanned<Secret>>,
}

impl TracesSection {
    pub(super) fn configured(section: Spanned<Self>) -> Result<Traces, Wrong> {
        if !cfg!(feature = "opentelemetry") {
            let why = "this wholly was built without traces; build it with cargo build --release \
                       --features opentelemetry, or take [traces] out";
            return Err(Wrong::about(&section, why.to_owned()));
        }
        let Self { endpoint, service_name, sampled, headers } = section.into_inner();
        let mut traces = Traces::default();
        if let Some(said) = endpoint {
            traces.endpoint = collector(said.get_ref()).map_err(|why| Wrong::about(&said, why))?;
        }
        if let Some(said) = sampled {
            traces.sampled = *said.get_ref();
            if !(0.0..=1.0).contains(&traces.sampled) {
                let why = "sampled is a share: from 0.0, none, to 1.0, all".to_owned();
                return Err(Wrong::about(&said, why));
            }
        }
        traces.service_name = service_name.unwrap_or(traces.service_name);
        traces.headers = headers.into_iter().map(header).collect::<Result<_, Wrong>>()?;
        Ok(traces)
    }
}

fn collector(text: &str) -> Result<Uri, String> {
    let url: Uri =
        text.parse().map_err(|why| format!("the endpoint of [traces] is none: {why}"))?;
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    let plain = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    match url.scheme_str() {
        Some("http" | "https") if has_host && plain && url.query().is_none() => Ok(url),
        _ => Err("the endpoint of [traces] begins with http:// or https:// and a host, without a \
                  user's name or a query; /v1/traces is put behind it"
            .to_owned()),
    }
}

fn header(
    (name, secret): (Spanned<String>, Spanned<Secret>),
) -> Result<(HeaderName, Secret), Wrong> {
    let parsed = HeaderName::try_from(name.get_ref())
        .map_err(|_| Wrong::about(&name, "this is no name of a header".to_owned()))?;
    if HeaderValue::try_from(secret.get_ref().expose()).is_err() {
        let why = format!("the secret for {parsed} has what no header can have");
        return Err(Wrong::about(&secret, why));
    }
    Ok((parsed, secret.into_inner()))
}
