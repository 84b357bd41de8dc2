//! The framing of requests, checked before it is parsed.
//!
//! Two programs that disagree about a request's end, or its host, can be played off against each
//! other: a proxy lets through bytes that the server takes for another request. So requests that
//! HTTP/1.1 calls malformed, and parsers are kind to, are refused: a line that ends with a line
//! feed alone, `Transfer-Encoding` beside `Content-Length`, and of `Host` none or two.
//!
//! INVARIANT: the first byte that makes a request malformed reaches the parser as NUL, and nothing
//! after it does. No request may have that byte there, so the parser answers 400 and closes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes of a line that are kept: enough for every header that is looked at.
const KEPT: usize = 256;

/// A connection whose requests are checked as they come.
pub struct Checked<S> {
    stream: S,
    scan: Scan,
    malformed: bool,
}

impl<S> Checked<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, scan: Scan::default(), malformed: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Checked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if this.malformed {
            // Later bytes are read, so that the answer is not lost by a reset, and dropped.
            buf.filled_mut()[before..].fill(0);
        } else if let Some(at) = this.scan.malformed_at(&buf.filled()[before..]) {
            this.malformed = true;
            buf.filled_mut()[before + at..].fill(0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Checked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// The progress of a connection.
#[derive(Default)]
struct Scan {
    part: NextPart,
    head: Head,
    line: Line,
}

/// The part of a request to which the next byte belongs.
#[derive(Default)]
enum NextPart {
    #[default]
    Head,
    /// So many bytes of a body, or of a chunk with its line ending.
    Bytes {
        left: u64,
        chunked: bool,
    },
    ChunkSize,
    Trailers,
}

/// The findings in the lines of a head so far.
#[derive(Default)]
struct Head {
    begun: bool,
    needs_host: bool,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

/// The line that is being read, without its ending.
#[derive(Default)]
struct Line {
    kept: Vec<u8>,
    last: Option<u8>,
}

struct Malformed;

impl Scan {
    /// The place of the first byte that makes a request malformed.
    fn malformed_at(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let NextPart::Bytes { left, chunked } = self.part {
                let here = left.min((bytes.len() - at) as u64);
                self.part = match (left - here, chunked) {
                    (0, true) => NextPart::ChunkSize,
                    (0, false) => NextPart::Head,
                    (left, chunked) => NextPart::Bytes { left, chunked },
                };
                at += here as usize;
                continue;
            }
            if byte != b'\n' {
                self.line.add(byte);
            } else if self.ended_line().is_err() {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    fn ended_line(&mut self) -> Result<(), Malformed> {
        let line = std::mem::take(&mut self.line).ended()?;
        match self.part {
            NextPart::Head if line.is_empty() && !self.head.begun => {}
            NextPart::Head if line.is_empty() => {
                self.part = std::mem::take(&mut self.head).ended()?
            }
            NextPart::Head => self.head.add(&line)?,
            NextPart::ChunkSize => {
                self.part = match chunk_size(&line)? {
                    0 => NextPart::Trailers,
                    size => NextPart::Bytes { left: size.saturating_add(2), chunked: true },
                };
            }
            NextPart::Trailers if line.is_empty() => self.part = NextPart::Head,
            NextPart::Trailers | NextPart::Bytes { .. } => {}
        }
        Ok(())
    }
}

impl Line {
    fn add(&mut self, byte: u8) {
        if let Some(before) = self.last.replace(byte)
            && self.kept.len() < KEPT
        {
            self.kept.push(before);
        }
    }

    /// The line, if a carriage return is before its line feed.
    fn ended(self) -> Result<Vec<u8>, Malformed> {
        match self.last {
            Some(b'\r') => Ok(self.kept),
            _ => Err(Malformed),
        }
    }
}

impl Head {
    fn add(&mut self, line: &[u8]) -> Result<(), Malformed> {
        if !self.begun {
            self.begun = true;
            // An older client need not name a host. A version beyond the kept bytes is not older.
            self.needs_host = !line.ends_with(b" HTTP/1.0");
            return Ok(());
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return Ok(()) };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.length = Some(number(value, 10)?);
        }
        Ok(())
    }

    /// The part after the head.
    fn ended(self) -> Result<NextPart, Malformed> {
        let hosts = if self.needs_host { 1..=1 } else { 0..=1 };
        match (self.chunked, self.length) {
            _ if !hosts.contains(&self.hosts) => Err(Malformed),
            (true, Some(_)) => Err(Malformed),
            (true, None) => Ok(NextPart::ChunkSize),
            (false, None | Some(0)) => Ok(NextPart::Head),
            (false, Some(left)) => Ok(NextPart::Bytes { left, chunked: false }),
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let size = line.split(|&byte| byte == b';').next().unwrap_or_default();
    number(size.trim_ascii(), 16)
}

fn number(digits: &[u8], radix: u32) -> Result<u64, Malformed> {
    let text = str::from_utf8(digits).map_err(|_| Malformed)?;
    match text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => u64::from_str_radix(text, radix).map_err(|_| Malformed),
        false => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\n\n\n\n\
         POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n\
         2;x=y\r\n\n\n\r\n0\r\nTrailer: x\r\n\r\nGET / HTTP/1.0\r\n\r\n";

    /// The first malformed byte, if the bytes come in pieces of this size.
    fn malformed(text: &str, size: usize) -> Option<usize> {
        let mut scan = Scan::default();
        let pieces = text.as_bytes().chunks(size).enumerate();
        pieces
            .map(|(nth, piece)| (nth * size, piece))
            .find_map(|(before, piece)| scan.malformed_at(piece).map(|at| before + at))
    }

    #[test]
    fn what_is_well_formed_passes_however_it_is_cut() {
        for size in 1..GOOD.len() {
            assert_eq!(malformed(GOOD, size), None, "{size}");
        }
    }

    #[test]
    fn what_is_malformed_is_found_at_its_byte_behind_whatever_came() {
        for (bad, at) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", 14),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", 23),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", 25),
            ("GET / HTTP/1.1\r\n\r\n", 17),
            ("GET / HTTP/1.1\r\nHost: a\r\nhOST : a\r\n\r\n", 36),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 35),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                74,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                74,
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx", 57),
        ] {
            for size in 1..bad.len() {
                assert_eq!(malformed(bad, size), Some(at), "{bad:?} by {size}");
                let behind = malformed(&format!("{GOOD}{bad}"), size);
                assert_eq!(behind, Some(GOOD.len() + at), "{bad:?} by {size}");
            }
        }
    }
}
