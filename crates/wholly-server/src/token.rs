//! `wholly token`: a new token, and the section that lets it in.

use std::process::ExitCode;

use clap::Args;
use ring::rand::{SecureRandom, SystemRandom};
use wholly_core::Name;

use crate::access::{Role, Sha256};
use crate::cli::exit::{self, failed};

/// Make a token for a client.
///
/// Prints the token, which is stored nowhere and cannot be shown again, and the section of
/// wholly.toml that admits it, which has only the token's hash.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly token --name shop --role submit --role read
  wholly token --name ada --role operate --role read")]
pub struct Token {
    /// The name of the client, for the audit.
    #[arg(long, value_name = "NAME", default_value = "client", value_parser = name)]
    name: Name,
    /// A role of the client. Repeat the option for several roles.
    #[arg(long = "role", value_name = "ROLE", value_enum, default_value = "submit")]
    roles: Vec<Role>,
}

impl Token {
    pub fn run(self) -> ExitCode {
        let mut bytes = [0; 32];
        if SystemRandom::new().fill(&mut bytes).is_err() {
            return failed(exit::FAILED, &"the system has no random bytes");
        }
        let token = format!("wholly_{}", base64url(&bytes));
        let Sha256(hash) = Sha256::of(token.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let roles: Vec<_> =
            self.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
        // A string of TOML's, with whatever it holds escaped.
        let name = toml::Value::from(self.name.as_str());
        let section = format!("[[tokens]]\nname = {name}\nsha256 = \"{hash}\"\nroles = {roles:?}");
        let written = wholly_terminal::write_line(format_args!("{token}\n\n{section}"));
        exit::wrote(written, ExitCode::SUCCESS)
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|why| why.to_string())
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |three: &[u8]| {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        (0..=three.len()).map(move |nth| ALPHABET[(bits >> (18 - 6 * nth)) as usize & 63] as char)
    };
    bytes.chunks(3).flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_vectors_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in vectors {
            assert_eq!(super::base64url(bytes.as_bytes()), text);
        }
        assert_eq!(super::base64url(&[0xfb, 0xff]), "-_8");
    }
}
