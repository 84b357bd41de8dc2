//! PostgreSQL as this system has it: where its programs are, and the user that they run as.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// Where Debian's packages put the programs: a folder for each major version.
const VERSIONS: &str = "/usr/lib/postgresql";

pub(super) struct Installed {
    programs: PathBuf,
    /// Whom the programs run as; `None` is whoever runs this one.
    user: Option<User>,
}

impl Installed {
    pub(super) fn find() -> Result<Self, PostgresError> {
        let programs = on_path().or_else(highest_version).ok_or(PostgresError::NotInstalled)?;
        // PostgreSQL refuses to run as root.
        let user = if rustix::process::geteuid().is_root() {
            let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let named = |name| User::named(name, &users);
            Some(named("postgres").or_else(|| named("nobody")).ok_or(PostgresError::NoUser)?)
        } else {
            None
        };
        Ok(Self { programs, user })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A command that runs as PostgreSQL's user, in this folder.
    pub(super) fn command(&self, program: impl AsRef<Path>, folder: &Path) -> Command {
        let mut command = Command::new(program.as_ref());
        // The messages are read here, so their language is known. A Ctrl-C in a terminal is for
        // the program that holds the server.
        command.current_dir(folder).env("LC_ALL", "C").process_group(0);
        if let Some(User { id, group }) = self.user {
            command.uid(id).gid(group);
        }
        command
    }

    /// Makes the folder that of PostgreSQL's user.
    pub(super) fn give(&self, folder: &Path) -> io::Result<()> {
        self.user.map_or(Ok(()), |user| chown(folder, Some(user.id), Some(user.group)))
    }
}

#[derive(Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

impl User {
    /// The user of this name in a file like `/etc/passwd`.
    fn named(name: &str, users: &str) -> Option<Self> {
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let user = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
        let number = |field: usize| user.get(field)?.parse().ok();
        Some(Self { id: number(2)?, group: number(3)? })
    }
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find(|folder| has_the_programs(folder))
}

fn highest_version() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.flatten().filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        Some((number, version.path().join("bin")))
    });
    let usable = versions.filter(|(_, folder)| has_the_programs(folder));
    usable.max().map(|(_, folder)| folder)
}

fn has_the_programs(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users =
            "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:,,:/:/bin/sh\n";
        let user = User::named("postgres", users).unwrap();
        assert_eq!((user.id, user.group), (101, 104));
        assert!(User::named("nobody", users).is_none());
    }
}
