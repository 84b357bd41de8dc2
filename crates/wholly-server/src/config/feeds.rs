//! `[feeds.NAME]`: the feeds of choreographed services, which the observer follows.

use serde::Deserialize;
use toml::Spanned;
use wholly_events::ServiceName;
use wholly_events::feed::HttpFeed;

use super::Wrong;
use super::credentials::SigningSection;
use super::secret::Secret;

/// A feed that the configuration names.
pub struct ConfiguredFeed {
    /// The service that publishes it.
    pub source: ServiceName,
    /// Its address.
    pub url: String,
    /// The way to read it.
    pub feed: HttpFeed,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedSection {
    url: Spanned<String>,
    token: Option<Spanned<Secret>>,
    signing: Option<Spanned<SigningSection>>,
}

impl FeedSection {
    pub(super) fn configured(self, source: ServiceName) -> Result<ConfiguredFeed, Wrong> {
        let url = self.url.get_ref().clone();
        let feed = HttpFeed::at(&url).map_err(|why| Wrong::about(&self.url, why.to_string()))?;
        let feed = match &self.token {
            None => feed,
            Some(token) => feed
                .token(token.get_ref().expose())
                .map_err(|why| Wrong::about(token, why.to_string()))?,
        };
        let feed = match &self.signing {
            None => feed,
            Some(signing) => {
                let SigningSection { key_id, secret } = signing.get_ref();
                feed.signed(key_id, secret.expose().as_bytes())
                    .map_err(|why| Wrong::about(signing, why.to_string()))?
            }
        };
        Ok(ConfiguredFeed { source, url, feed })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides, Wrong};
    use std::path::Path;

    fn parse(text: &str) -> Result<Config, Wrong> {
        Config::parse(text, Path::new("/etc"), &Overrides::default())
    }

    #[test]
    fn feeds_are_read_with_their_names_and_their_store_lies_beside_the_log() {
        let config = parse("log = 'a.db'\n[feeds.order]\nurl = 'http://a/feed'\n").unwrap();
        let feeds: Vec<_> = config.feeds.iter().map(|feed| feed.source.as_str()).collect();
        assert_eq!(feeds, ["order"]);
        assert_eq!(config.choreographies, Path::new("/etc/a.db-choreographies"));
        let config = parse("choreographies = 'b.db'").unwrap();
        assert_eq!(
            (config.choreographies.as_path(), config.feeds.len()),
            (Path::new("/etc/b.db"), 0)
        );
    }

    #[test]
    fn what_is_no_feed_is_refused_and_a_secret_is_not_repeated() {
        for (text, says) in [
            ("[feeds.order]", "missing field `url`"),
            ("[feeds.order]\nurl = 'a/feed'", "is not a feed's address"),
            ("[feeds.order]\nurl = 'http://a/feed?x=1'", "without user or query"),
            ("[feeds.order]\nurl = 'http://a/feed'\nuri = 1", "did you mean `url`?"),
            ("[feeds.'a b']\nurl = 'http://a/feed'", "service name"),
            ("[feeds.order]\nurl = 'http://a/feed'\ntoken = 'hunter2'", "env:NAME"),
            (
                "[feeds.order]\nurl = 'http://a/feed'\nsigning = { key_id = '', secret = 'env:PATH' }",
                "must not be empty",
            ),
        ] {
            let why = parse(text).err().map(|wrong| wrong.why).unwrap_or_default();
            assert!(why.contains(says) && !why.contains("hunter2"), "{text}: {why}");
        }
    }
}
