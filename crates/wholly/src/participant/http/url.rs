//! The URL of an HTTP participant: parsed once, into the address of each operation.

use http::Uri;
use http::uri::{Authority, Scheme};

/// Why a text is no URL of a participant. No message shows a password or a query, because both
/// may be secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// It does not have the form of a URL.
    #[error("{url:?} is no URL ({why}); write it like http://payments:8080/wholly")]
    Malformed {
        /// The URL, without what may be secret.
        url: String,
        /// The reason.
        why: String,
    },
    /// It is for another protocol.
    #[error("{url:?} is for another protocol; a participant's URL starts with http:// or https://")]
    Scheme {
        /// The URL, without what may be secret.
        url: String,
    },
    /// It holds a user or a password, which would travel on every call and show in logs.
    #[error("{url:?} holds a user or a password; take them out of the URL")]
    UserInfo {
        /// The URL, without what may be secret.
        url: String,
    },
    /// It holds a query, which has no place before an operation's name.
    #[error("{url:?} has a query; take away everything from the '?' on")]
    Query {
        /// The URL, without what may be secret.
        url: String,
    },
    /// It holds a fragment, which is never sent.
    #[error("{url:?} has a fragment; take away everything from the '#' on")]
    Fragment {
        /// The URL, without what may be secret.
        url: String,
    },
    /// It is for https, and TLS is not part of this program or does not work there.
    #[error("{url:?} needs TLS ({why}); build with the feature `tls`, or use http://")]
    Tls {
        /// The URL, without what may be secret.
        url: String,
        /// Why there is no TLS.
        why: String,
    },
}

/// A participant's base URL: scheme, host, port and path.
#[derive(Clone, Debug)]
pub(super) struct BaseUrl {
    text: String,
    uri: Uri,
    pub(super) tls: bool,
}

impl BaseUrl {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let url = shown(text);
        let malformed = |why: &str| InvalidUrl::Malformed { url: shown(text), why: why.to_owned() };
        // The parser drops a fragment without a word.
        if text.contains('#') {
            return Err(InvalidUrl::Fragment { url });
        }
        let uri: Uri =
            text.parse().map_err(|e: http::uri::InvalidUri| malformed(&e.to_string()))?;
        let authority = match (uri.scheme(), uri.authority()) {
            (Some(_), Some(authority)) => authority.as_str(),
            _ => return Err(malformed("it needs a scheme and a host")),
        };
        let scheme = uri.scheme();
        if scheme != Some(&Scheme::HTTP) && scheme != Some(&Scheme::HTTPS) {
            return Err(InvalidUrl::Scheme { url });
        }
        if authority.contains('@') {
            return Err(InvalidUrl::UserInfo { url });
        }
        if uri.query().is_some() {
            return Err(InvalidUrl::Query { url });
        }
        let host = uri.host().unwrap_or_default();
        if host.is_empty() {
            return Err(malformed("it needs a host"));
        }
        // The parser lets any port pass, and the connector would take 80 for one it cannot read.
        let port = authority.strip_prefix(host).unwrap_or_default();
        let readable = |port: &str| !port.starts_with('+') && matches!(port.parse(), Ok(1u16..));
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(readable) {
            return Err(malformed("its port is no number from 1 to 65535"));
        }
        let tls = scheme == Some(&Scheme::HTTPS);
        Ok(Self { text: text.trim_end_matches('/').to_owned(), uri, tls })
    }

    /// The address of an operation, as it is asked of the host.
    pub(super) fn operation(&self, operation: &str) -> Result<Uri, InvalidUrl> {
        let address = format!("{}/{operation}", self.uri.path().trim_end_matches('/'));
        address.parse().map_err(|why: http::uri::InvalidUri| InvalidUrl::Malformed {
            url: self.text.clone(),
            why: why.to_string(),
        })
    }

    /// Host and port, as in the header `Host`.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or("", Authority::as_str)
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// The URL without what may be a secret: user, password, query and fragment.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}://…{}", &url[..scheme], &url[at..])
        }
        (None, Some(at)) => format!("…{}", &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<String, InvalidUrl> {
        BaseUrl::parse(url)?.operation("prepare").map(|uri| uri.to_string())
    }

    #[test]
    fn the_base_path_is_kept() {
        assert_eq!(at("http://shop:81").unwrap(), "/prepare");
        assert_eq!(at("http://shop:81/").unwrap(), "/prepare");
        assert_eq!(at("https://shop/v1/tx/").unwrap(), "/v1/tx/prepare");
        assert_eq!(at("http://[::1]:81/tx").unwrap(), "/tx/prepare");
        assert_eq!(BaseUrl::parse("http://[::1]:81/tx").unwrap().authority(), "[::1]:81");
    }

    #[test]
    fn what_is_no_participants_url_is_refused() {
        use InvalidUrl as I;
        type Case = (&'static str, fn(&InvalidUrl) -> bool);
        let cases: &[Case] = &[
            ("", |e| matches!(e, I::Malformed { .. })),
            ("shop", |e| matches!(e, I::Malformed { .. })),
            ("/tx", |e| matches!(e, I::Malformed { .. })),
            ("http://", |e| matches!(e, I::Malformed { .. })),
            ("http://:80", |e| matches!(e, I::Malformed { .. })),
            ("http://shop:", |e| matches!(e, I::Malformed { .. })),
            ("http://shop:0", |e| matches!(e, I::Malformed { .. })),
            ("http://shop:65536", |e| matches!(e, I::Malformed { .. })),
            ("http://shop:+80", |e| matches!(e, I::Malformed { .. })),
            ("http://a shop", |e| matches!(e, I::Malformed { .. })),
            ("ftp://shop", |e| matches!(e, I::Scheme { .. })),
            ("http://shop/?", |e| matches!(e, I::Query { .. })),
            ("http://shop?key=secret", |e| matches!(e, I::Query { .. })),
            ("http://shop/#secret", |e| matches!(e, I::Fragment { .. })),
            ("http://me:secret@shop/", |e| matches!(e, I::UserInfo { .. })),
            ("http://me:secret@sh op/", |e| matches!(e, I::Malformed { .. })),
        ];
        for (url, is_right) in cases {
            let error = at(url).expect_err(url);
            assert!(is_right(&error), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{url} shows its secret: {error}");
        }
    }
}
