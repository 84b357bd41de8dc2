//! The audit: each action of an operator, and each refused request, as lines of JSON.
//!
//! An action has two lines: `asked`, which is on disk before the action begins, and its outcome,
//! which is on disk before the answer. So a crash between them leaves the question, and an action
//! that cannot be written down is not done.
//!
//! INVARIANT: lines are only ever added. The file is opened for each line: if it is moved away, the
//! next line is in a new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use crate::access::{Rate, RateLimiter};

/// The most bytes of a text that a line repeats.
const TEXT_LIMIT: usize = 1_000;
/// The bytes of the file that one page reads. A line is far shorter.
const WINDOW: u64 = 256 * 1024;
/// The rate at which refused requests are recorded: they must not fill the disk.
const REFUSALS: Rate = Rate { per_second: 1, burst: 20 };

/// The audit's file.
pub struct Audit {
    file: PathBuf,
    writing: Mutex<()>,
    refusals: RateLimiter,
    unwritten: AtomicU64,
}

/// The request that the audit records.
#[derive(Clone, Debug, Serialize)]
pub struct AuditRequest {
    /// The caller, if it is known.
    pub who: Option<Arc<str>>,
    /// The caller's address.
    pub from: Option<String>,
    /// The method and the path.
    pub what: String,
    /// The reason that the caller gave.
    pub why: Option<String>,
}

#[derive(Serialize)]
struct AuditLine<'a> {
    at: u64,
    /// The same in both lines of an action: the place of the first one in the file.
    action: u64,
    #[serde(flatten)]
    asked: &'a AuditRequest,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The number of refusals before this one that were too many to record.
    #[serde(skip_serializing_if = "Option::is_none")]
    unwritten: Option<u64>,
}

/// A page of the audit, newest first.
#[derive(Serialize)]
pub struct AuditPage {
    entries: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Audit {
    /// The audit in this file, which is created where there is none.
    pub fn open(file: PathBuf) -> io::Result<Self> {
        let (writing, refusals, unwritten) = Default::default();
        let audit = Self { file, writing, refusals, unwritten };
        audit.appendable()?.sync_all()?;
        let folder = audit.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(".".as_ref()))?.sync_all()?;
        Ok(audit)
    }

    /// Writes down that an action is about to begin; returns its number.
    pub async fn asked(self: &Arc<Self>, asked: AuditRequest) -> io::Result<u64> {
        self.write(None, asked, "asked", None, None).await
    }

    /// Writes down how an action ended.
    pub async fn ended(
        self: &Arc<Self>,
        action: u64,
        asked: AuditRequest,
        status: u16,
    ) -> io::Result<u64> {
        let outcome = if (200..300).contains(&status) { "done" } else { "failed" };
        self.write(Some(action), asked, outcome, Some(status), None).await
    }

    /// Writes down that an attempt was refused. Nobody waits for it.
    pub fn refused(self: &Arc<Self>, asked: AuditRequest, status: u16) {
        if self.refusals.take(REFUSALS, Instant::now()).is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let unwritten = Some(self.unwritten.swap(0, Ordering::Relaxed)).filter(|&some| some > 0);
        let audit = Arc::clone(self);
        tokio::spawn(async move {
            let written = audit.write(None, asked, "refused", Some(status), unwritten).await;
            if let Err(why) = written {
                tracing::error!("a refused request is missing in the audit: {why}");
            }
        });
    }

    async fn write(
        self: &Arc<Self>,
        action: Option<u64>,
        mut asked: AuditRequest,
        outcome: &'static str,
        status: Option<u16>,
        unwritten: Option<u64>,
    ) -> io::Result<u64> {
        shorten(&mut asked.what);
        asked.why.as_mut().map(shorten);
        let audit = Arc::clone(self);
        let writing = tokio::task::spawn_blocking(move || {
            audit.append(|start| {
                let action = action.unwrap_or(start);
                let line = AuditLine {
                    at: now_millis(),
                    action,
                    asked: &asked,
                    outcome,
                    status,
                    unwritten,
                };
                Ok((action, serde_json::to_vec(&line)?))
            })
        });
        writing.await.map_err(io::Error::other)?
    }

    /// Adds a line, made from the place where it begins, and syncs it.
    fn append(&self, line: impl Fn(u64) -> io::Result<(u64, Vec<u8>)>) -> io::Result<u64> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.appendable()?;
        let end = file.metadata()?.len();
        let (action, mut text) = match ends_within_a_line(&mut file, end)? {
            // A line cut by a crash or a full disk stays, on a line of its own.
            true => {
                let (action, text) = line(end + 1)?;
                (action, [b"\n".as_slice(), &text].concat())
            }
            false => line(end)?,
        };
        text.push(b'\n');
        file.write_all(&text).and_then(|()| file.sync_data()).inspect_err(|_| {
            drop(file.set_len(end));
        })?;
        Ok(action)
    }

    fn appendable(&self) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.file)
    }

    /// At most `limit` lines before the byte `before`, or before the end.
    pub async fn page(
        self: &Arc<Self>,
        before: Option<u64>,
        limit: usize,
    ) -> io::Result<AuditPage> {
        let audit = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || audit.read(before, limit));
        reading.await.map_err(io::Error::other)?
    }

    fn read(&self, before: Option<u64>, limit: usize) -> io::Result<AuditPage> {
        let mut file = File::open(&self.file)?;
        let end = file.metadata()?.len();
        let end = before.map_or(end, |before| before.min(end));
        let start = end.saturating_sub(WINDOW);
        file.seek(SeekFrom::Start(start))?;
        let mut text = Vec::new();
        file.take(end - start).read_to_end(&mut text)?;
        let mut entries = Vec::new();
        let mut rest = &text[..];
        if start > 0 {
            // The window begins within a line; without an end of a line there is nothing to read.
            let whole = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1);
            rest = &rest[whole..];
        }
        let mut at = end;
        for line in rest.split_inclusive(|&byte| byte == b'\n').rev().take(limit) {
            at -= line.len() as u64;
            if !line.trim_ascii().is_empty() {
                entries.push(serde_json::from_slice(line).unwrap_or_else(
                    |_| serde_json::json!({"unreadable": String::from_utf8_lossy(line).trim_end()}),
                ));
            }
        }
        let at = if rest.is_empty() { start } else { at };
        Ok(AuditPage { entries, next: (at > 0).then(|| at.to_string()) })
    }
}

fn ends_within_a_line(file: &mut File, end: u64) -> io::Result<bool> {
    if end == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(end - 1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn shorten(text: &mut String) {
    text.truncate(text.floor_char_boundary(TEXT_LIMIT));
}

fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

#[cfg(test)]
mod tests;
