//! A secret: never literal in the configuration, and never shown.
//!
//! The configuration names its place, `env:NAME` or `file:PATH`, which is read with it: a missing
//! secret stops the start, not the first call. INVARIANT: neither `Debug` nor any message here
//! holds the secret, nor a text in a secret's place, which may be one.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

/// The most bytes that a secret may have.
const LIMIT: u64 = 64 * 1024;

/// A secret as it was read.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(String);

impl Secret {
    /// The secret itself: for its one use, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl TryFrom<String> for Secret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let secret = match text.split_once(':') {
            Some(("env", name)) => of_variable(name)?,
            Some(("file", path)) => of_file(Path::new(path))?,
            _ => {
                return Err("a secret does not stand here itself; write \"env:NAME\" for an \
                            environment variable, or \"file:/PATH\" for a file"
                    .to_owned());
            }
        };
        match secret.is_empty() {
            true => Err(format!("the secret {text} is empty")),
            false => Ok(Self(secret)),
        }
    }
}

fn of_variable(name: &str) -> Result<String, String> {
    use std::env::VarError;
    std::env::var(name).map_err(|why| match why {
        VarError::NotPresent => format!("the environment variable {name:?} is not set"),
        VarError::NotUnicode(_) => format!("the environment variable {name:?} is no UTF-8"),
    })
}

/// The line ending that editors put at the end is no part of the secret.
fn of_file(path: &Path) -> Result<String, String> {
    // Relative to what? A server is started from anywhere.
    if !path.is_absolute() {
        return Err(format!(
            "{} is not the whole path of the file; begin it with /",
            path.display()
        ));
    }
    let unreadable = |why| format!("the secret's file {} cannot be read: {why}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(LIMIT + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LIMIT {
        return Err(format!("the secret's file {} is longer than {LIMIT} bytes", path.display()));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<Secret, String> {
        Secret::try_from(text.to_owned())
    }

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        for ending in ["", "\n", "\r\n"] {
            std::fs::write(&file, format!("p4ss word{ending}")).unwrap();
            let read = secret(&format!("file:{}", file.display())).unwrap();
            assert_eq!(read.expose(), "p4ss word");
            assert_eq!(format!("{read:?}"), "Secret(…)");
        }
        // A variable that every process has.
        assert_eq!(secret("env:PATH").unwrap().expose(), std::env::var("PATH").unwrap());
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        let named = format!("file:{}", file.display());
        let refused = |text: &str| secret(text).unwrap_err();
        assert!(refused(&named).contains("cannot be read"));
        std::fs::write(&file, "\n").unwrap();
        assert!(refused(&named).contains("is empty"));
        std::fs::write(&file, "x".repeat(70_000)).unwrap();
        assert!(refused(&named).contains("longer than 65536"));
        assert!(refused("env:WHOLLY_NO_SUCH_VARIABLE").contains("is not set"));
        assert!(refused("file:secret").contains("begin it with /"));
        for literal in ["hunter2", "bearer:hunter2", "hunter2:x", ""] {
            let said = refused(literal);
            assert!(said.contains("env:NAME") && !said.contains("hunter2"), "{said}");
        }
    }
}
