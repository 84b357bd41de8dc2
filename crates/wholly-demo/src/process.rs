//! A process of the demo: this program executed once more with other arguments, or another program.
//!
//! INVARIANT: it does not outlive the `Process` that stands for it, nor the program that started
//! it: its standard input is a pipe that this program holds, and it ends when that ends (see
//! [`end_with_stdin`]), as it does when its parent is killed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Ends this process when its standard input does: whoever started it is gone.
///
/// # Errors
/// When the system gives no thread.
pub fn end_with_stdin() -> io::Result<()> {
    follow_stdin(|_| {})
}

/// Hands on each line of the standard input, and ends this process when that ends.
///
/// # Errors
/// When the system gives no thread.
pub fn follow_stdin(mut told: impl FnMut(&str) + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        io::stdin().lock().lines().map_while(Result::ok).for_each(|line| told(&line));
        // At once, like a crash, which every process of Wholly is made for.
        std::process::exit(1)
    })?;
    Ok(())
}

/// Runs to the end, or until a signal asks to stop: the future is dropped then, and with it every
/// process that it started and every file that it made.
pub fn until_interrupted(story: impl Future<Output = ExitCode>) -> ExitCode {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hangup = signal(SignalKind::hangup())?;
            let number = tokio::select! {
                code = story => return Ok(code),
                _ = interrupt.recv() => 2,
                _ = terminate.recv() => 15,
                _ = hangup.recv() => 1,
            };
            wholly_terminal::report(
                "wholly: interrupted; what was started is stopped and cleaned up",
            );
            // As a shell says of a command that a signal ended.
            Ok(ExitCode::from(128 + number))
        })
    };
    run().unwrap_or_else(|error: std::io::Error| {
        wholly_terminal::report(format_args!(
            "wholly: the system denies what every program needs: {error}"
        ));
        ExitCode::FAILURE
    })
}

/// Locks a mutex, also where a thread that had it panicked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process that this program started.
pub struct Process {
    program: PathBuf,
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    stderr: PathBuf,
}

impl Process {
    /// Starts a program with `arguments` and this filter of log messages; its standard error goes to
    /// a file in `directory`.
    ///
    /// # Errors
    /// When the system does not start it.
    pub fn start(
        program: &Path,
        name: &str,
        arguments: &[String],
        directory: &Path,
        log_filter: &str,
    ) -> io::Result<Self> {
        let stderr = directory.join(format!("{name}.stderr"));
        let mut child = Command::new(program)
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
        let process = Self { program: program.to_owned(), child, lines, stderr };
        std::thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|out| BufReader::new(out).lines());
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(process)
    }

    /// Its program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The next line of its standard output; `None` when the process has ended.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(stdin, "{line}")
    }

    /// The most that its files may have from now on; with none it may write again.
    pub fn files_may_have(&self, bytes: Option<u64>) -> io::Result<()> {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit { current: bytes.or(maximum), maximum };
        let pid = Pid::from_raw(self.child.id().cast_signed());
        pid.map_or(Ok(()), |pid| prlimit(Some(pid), Resource::Fsize, limit).map(drop))?;
        Ok(())
    }

    /// Waits until it ends; true if it was by SIGKILL.
    pub async fn killed(&mut self) -> io::Result<bool> {
        while self.lines.recv().await.is_some() {}
        Ok(self.child.wait()?.signal() == Some(Signal::KILL.as_raw()))
    }

    /// True if it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        Ok(pid.map_or(Ok(()), |pid| kill_process(pid, signal))?)
    }

    /// The time for which the processors have worked for it so far, where the system tells: the sum over its
    /// threads that live.
    pub fn processor_time(&self) -> Duration {
        let worked = |thread: std::fs::DirEntry| {
            let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            times.split_whitespace().next()?.parse::<u64>().ok()
        };
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanos = threads.into_iter().flatten().flatten().filter_map(worked).sum();
        Duration::from_nanos(nanos)
    }

    /// The memory that it holds, in bytes, where the system tells.
    pub fn resident_bytes(&self) -> Option<u64> {
        resident_bytes(&self.child.id().to_string())
    }

    /// The most that it ever held, in bytes, where the system tells.
    pub fn most_resident_bytes(&self) -> Option<u64> {
        memory(&self.child.id().to_string(), "VmHWM:")
    }

    /// The end of its standard error; empty where that cannot be read.
    pub fn last_words(&self) -> String {
        let words = std::fs::read(&self.stderr).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        let lines: Vec<_> = words.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// The memory that a process holds, in bytes, where the system tells; `self` is this one.
pub fn resident_bytes(process: &str) -> Option<u64> {
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
