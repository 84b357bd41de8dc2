//! A process of the demo: this program, executed once more with other arguments.
//!
//! INVARIANT: it does not outlive the `Process` that stands for it, nor the program that started
//! it: its standard input is a pipe that this program holds, and it ends when that ends (see
//! [`end_with_stdin`]), as it does when its parent is killed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tokio::sync::mpsc;

/// Ends this process when its standard input does: whoever started it is gone.
///
/// # Errors
/// When the system gives no thread.
pub fn end_with_stdin() -> io::Result<()> {
    std::thread::Builder::new().name("parent".to_owned()).spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        // At once, like a crash, which every process of Wholly is made for.
        std::process::exit(1)
    })?;
    Ok(())
}

pub(crate) struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    stderr: PathBuf,
}

impl Process {
    /// Starts this program with `arguments`; its standard error goes to a file in `directory`.
    pub(crate) fn start(name: &str, arguments: &[String], directory: &Path) -> io::Result<Self> {
        Self::start_with(name, arguments, directory, "warn")
    }

    /// The same, with this filter of log messages.
    pub(crate) fn start_with(
        name: &str,
        arguments: &[String],
        directory: &Path,
        log_filter: &str,
    ) -> io::Result<Self> {
        let stderr = directory.join(format!("{name}.stderr"));
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .env("WHOLLY_LOG", log_filter)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr)?)
            // Ctrl-C in a terminal is for the program that tells the story, which then ends this
            // one; both at once would look like a crash.
            .process_group(0)
            .spawn()?;
        let (sender, lines) = mpsc::unbounded_channel();
        let stdout = child.stdout.take();
        let process = Self { child, lines, stderr };
        std::thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|out| BufReader::new(out).lines());
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(process)
    }

    /// The next line of its standard output; `None` when the process has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(stdin, "{line}")
    }

    /// The most that its files may have from now on; with none it may write again.
    pub(crate) fn files_may_have(&self, bytes: Option<u64>) -> io::Result<()> {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit { current: bytes.or(maximum), maximum };
        let pid = Pid::from_raw(self.child.id().cast_signed());
        pid.map_or(Ok(()), |pid| prlimit(Some(pid), Resource::Fsize, limit).map(drop))?;
        Ok(())
    }

    /// Waits until it ends; whether it was by SIGKILL.
    pub(crate) async fn killed(&mut self) -> io::Result<bool> {
        while self.lines.recv().await.is_some() {}
        Ok(self.child.wait()?.signal() == Some(Signal::KILL.as_raw()))
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        Ok(pid.map_or(Ok(()), |pid| kill_process(pid, signal))?)
    }

    /// How long the processors have worked for it so far, where the system tells: the sum over its
    /// threads that live.
    pub(crate) fn processor_time(&self) -> Duration {
        let worked = |thread: std::fs::DirEntry| {
            let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            times.split_whitespace().next()?.parse::<u64>().ok()
        };
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanos = threads.into_iter().flatten().flatten().filter_map(worked).sum();
        Duration::from_nanos(nanos)
    }

    /// What it holds in memory, in bytes, where the system tells.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        resident_bytes(&self.child.id().to_string())
    }

    /// The most that it ever held, in bytes, where the system tells.
    pub(crate) fn most_resident_bytes(&self) -> Option<u64> {
        memory(&self.child.id().to_string(), "VmHWM:")
    }

    /// The end of what it wrote to its standard error.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.stderr)
    }
}

/// The end of a file of messages; empty where it cannot be read.
pub(crate) fn last_lines(file: &Path) -> String {
    let words = std::fs::read(file).unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let lines: Vec<_> = words.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// What a process holds in memory, in bytes, where the system tells; `self` is this one.
pub(crate) fn resident_bytes(process: &str) -> Option<u64> {
    memory(process, "VmRSS:")
}

fn memory(process: &str, kind: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(kind))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
