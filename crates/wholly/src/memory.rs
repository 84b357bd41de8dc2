//! The memory that this process may use: the least of what the machine has, its control groups
//! allow, and its own resource limits.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// The memory that is assumed where nothing tells.
const ASSUMED_BYTES: usize = 4 << 30;

/// The part of the memory that transactions in flight may take: an eighth. Beside what is counted,
/// calls on their way, batches and replies hold copies, and the log has a cache.
pub(crate) fn default_in_flight_limit_bytes() -> usize {
    let limits = [of_files(Path::new("/")), own_limit()];
    limits.into_iter().flatten().min().unwrap_or(ASSUMED_BYTES) / 8
}

/// The least that the files of the kernel under this root say, in bytes.
fn of_files(root: &Path) -> Option<usize> {
    let of_groups = limit_files(root).into_iter().filter_map(|file| bytes(&read(&file)?));
    of_groups.chain(machine(&read(&root.join("proc/meminfo"))?)).min()
}

/// The memory of the machine.
fn machine(meminfo: &str) -> Option<usize> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

/// The files with the limits of this process's control groups (version 2 and version 1), and of the
/// groups that those are in.
fn limit_files(root: &Path) -> Vec<PathBuf> {
    let groups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (mounted, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            "memory" => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| root.join(mounted).join(group).join(file)));
    }
    files
}

/// A limit in bytes; `None` where it is `max`, or so large that it is none.
fn bytes(limit: &str) -> Option<usize> {
    limit.trim().parse().ok()
}

fn read(file: &Path) -> Option<String> {
    read_to_string(file).ok()
}

/// The limit that `ulimit` set for this process.
#[cfg(target_os = "linux")]
fn own_limit() -> Option<usize> {
    use rustix::process::{Resource, getrlimit};
    let limits = [Resource::As, Resource::Data].map(|resource| getrlimit(resource).current);
    limits.into_iter().flatten().filter_map(|limit| usize::try_from(limit).ok()).min()
}

#[cfg(not(target_os = "linux"))]
fn own_limit() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};

    use super::*;

    fn machine_with(groups: &str, limits: &[(&str, &str)]) -> Option<usize> {
        let root = tempfile::tempdir().unwrap();
        let all = [("proc/meminfo", "MemTotal:    1024 kB\nMemFree: 1 kB\n")];
        let all =
            all.into_iter().chain([("proc/self/cgroup", groups)]).chain(limits.iter().copied());
        for (file, text) in all {
            let file = root.path().join(file);
            create_dir_all(file.parent().unwrap()).unwrap();
            write(file, text).unwrap();
        }
        of_files(root.path())
    }

    #[test]
    fn the_least_limit_counts_of_the_machine_and_of_all_groups_above() {
        const MACHINE: usize = 1_024 * 1_024;
        assert_eq!(machine_with("", &[]), Some(MACHINE));
        let of_group =
            |limit| machine_with("0::/a/b\n", &[("sys/fs/cgroup/a/b/memory.max", limit)]);
        assert_eq!(of_group("4096\n"), Some(4_096));
        assert_eq!(of_group("max\n"), Some(MACHINE));
        assert_eq!(of_group("99999999999\n"), Some(MACHINE));
        let above =
            [("sys/fs/cgroup/a/b/memory.max", "max"), ("sys/fs/cgroup/a/memory.max", "8192")];
        assert_eq!(machine_with("0::/a/b\n", &above), Some(8_192));
        let in_a_container = [("sys/fs/cgroup/memory.max", "5000")];
        assert_eq!(machine_with("0::/\n", &in_a_container), Some(5_000));
        let first = "5:cpu,cpuacct:/x\n4:memory:/a\n0::/\n";
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let limited = ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "7000\n");
        assert_eq!(machine_with(first, &[unlimited, limited]), Some(7_000));
        assert_eq!(machine_with(first, &[unlimited]), Some(MACHINE));
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(default_in_flight_limit_bytes() > 1 << 20);
    }
}
