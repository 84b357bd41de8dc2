//! The credentials shown to a participant: `auth`, `tls` and `signing` of its section.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use wholly::{HttpParticipant, InvalidCredentials};

use super::Wrong;
use super::secret::Secret;
use super::tls::is_pem;

/// `auth`: the header `Authorization`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AuthSection {
    Bearer(Secret),
    Basic(BasicSection),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicSection {
    user: String,
    password: Secret,
}

/// `tls`: the authority trusted in the place of the public ones, and the coordinator's identity.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    authority: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// `signing`: the secret that signs calls.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningSection {
    pub(super) key_id: String,
    pub(super) secret: Secret,
}

impl AuthSection {
    pub fn of(
        section: Spanned<Self>,
        participant: HttpParticipant,
    ) -> Result<HttpParticipant, Wrong> {
        match section.get_ref() {
            Self::Bearer(token) => participant.bearer(token.expose()),
            Self::Basic(BasicSection { user, password }) => {
                participant.basic(user, password.expose())
            }
        }
        .map_err(|why| wrong(&section, &why))
    }
}

impl TlsSection {
    /// Files that it names relatively lie in `directory`.
    pub fn of(
        section: Spanned<Self>,
        participant: HttpParticipant,
        directory: &Path,
    ) -> Result<HttpParticipant, Wrong> {
        let read = |file: &Option<PathBuf>| {
            let file = file.as_ref().map(|file| directory.join(file));
            let read = |file: &PathBuf| {
                std::fs::read(file).map_err(|why| {
                    let why = match is_pem(file) {
                        true => "a PEM does not stand here itself; name its file".to_owned(),
                        false => format!("{} cannot be read: {why}", file.display()),
                    };
                    Wrong::about(&section, why)
                })
            };
            file.as_ref().map(read).transpose()
        };
        let Self { authority, certificate, key } = section.get_ref();
        let identity = match (read(certificate)?, read(key)?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                let why = "a certificate and its key belong together: give both, or neither";
                return Err(Wrong::about(&section, why.to_owned()));
            }
        };
        let identity = identity.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice()));
        participant.tls(read(authority)?.as_deref(), identity).map_err(|why| wrong(&section, &why))
    }
}

impl SigningSection {
    pub fn of(
        section: Spanned<Self>,
        participant: HttpParticipant,
    ) -> Result<HttpParticipant, Wrong> {
        let Self { key_id, secret } = section.get_ref();
        participant
            .signed_by(key_id, secret.expose().as_bytes())
            .map_err(|why| wrong(&section, &why))
    }
}

fn wrong<T>(section: &Spanned<T>, why: &InvalidCredentials) -> Wrong {
    Wrong::about(section, why.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides, Wrong};

    const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, name: &str, text: &str) -> String {
            let path = self.0.path().join(name);
            std::fs::write(&path, text).unwrap();
            format!("file:{}", path.display())
        }

        fn configured(&self, scheme: &str, lines: &str) -> Result<Config, Wrong> {
            let text = format!("[participants.a]\nurl = '{scheme}://a'\n{lines}\n");
            Config::parse(&text, self.0.path(), &Overrides::default())
        }

        fn wrong(&self, scheme: &str, lines: &str) -> String {
            let wrong = self.configured(scheme, lines).err();
            let Wrong { why, .. } = wrong.unwrap_or_else(|| panic!("taken: {lines}"));
            assert!(!why.contains("hunter2"), "{why}");
            why
        }
    }

    #[test]
    fn credentials_are_read_from_where_they_are() {
        let files = Files::new();
        let secret = files.write("secret", SECRET);
        for lines in [
            format!("auth = {{ bearer = '{secret}' }}"),
            format!("auth = {{ basic = {{ user = 'wholly', password = '{secret}' }} }}"),
            format!("signing = {{ key_id = '2026-07', secret = '{secret}' }}"),
        ] {
            assert!(files.configured("http", &lines).is_ok(), "{lines}");
        }
    }

    #[test]
    fn wrong_credentials_are_named_and_not_shown() {
        let files = Files::new();
        let secret = files.write("secret", SECRET);
        let short = files.write("short", "hunter2");
        let lines = files.write("lines", "hunter2\nhunter2");
        files.write("none.pem", "hunter2");
        let auth = |auth: &str| files.wrong("http", &format!("auth = {auth}"));
        assert!(auth(&format!("{{ bearer = '{SECRET}' }}")).contains("env:NAME"));
        assert!(auth(&format!("{{ bearer = '{lines}' }}")).contains("no header can have"));
        let colon = format!("{{ basic = {{ user = 'a:b', password = '{secret}' }} }}");
        assert!(auth(&colon).contains("colon"));
        assert!(auth("{ digest = 'x' }").contains("unknown variant"));

        let signing = |id: &str, secret: &str| {
            let line = format!("signing = {{ key_id = '{id}', secret = '{secret}' }}");
            files.wrong("http", &line)
        };
        assert!(signing("2026", &short).contains("at least 32"));
        assert!(signing("", &secret).contains("must not be empty"));

        let tls = |lines: &str| files.wrong("https", &format!("tls = {{ {lines} }}"));
        assert!(tls("authority = 'missing.pem'").contains("cannot be read"));
        assert!(tls("authority = 'none.pem'").contains("there is no certificate"));
        assert!(tls("certificate = 'none.pem'").contains("belong together"));
        assert!(tls("certificate = 'none.pem', key = 'none.pem'").contains("the client's key"));
        assert!(files.wrong("http", "tls = {}").contains("not for https"));
    }
}
