//! The write-ahead log, read without SQLite to find a loss in its middle.
//!
//! SQLite reads the frames of its write-ahead log up to the first whose checksum is wrong, and
//! takes that for the end: a power failure tears the last commit, and nothing can stand behind it,
//! because a commit begins only once the one before it is synced. So if a whole frame of a *later*
//! commit stands behind a broken one, storage has damaged synced data, and SQLite would silently
//! drop every commit from there on.
//!
//! Each frame has the running checksum of all before it, so a frame behind a broken one is checked
//! from the checksum that its predecessor claims. Frames of earlier rounds of the file have other
//! salts. Damage in the last commit, and in the header, cannot be told from a torn write here: the
//! [side file](super::side) can tell.
//!
//! The format: <https://sqlite.org/walformat.html>.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use super::create::PAGE_BYTES;
use super::file::beside;
use super::probe::{Bug, planted};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const PAGE: usize = PAGE_BYTES as usize;
/// The magic of a header with little-endian checksums; one more means big-endian.
const MAGIC: u32 = 0x377f_0682;

/// The broken frame, from 1, in the write-ahead log of this database, if later commits stand behind
/// it.
///
/// Reading the file beside SQLite is safe here: closing a file drops the process's locks on it, and
/// SQLite locks the database and its `-shm`, never its `-wal`.
pub(super) fn broken_frame(log: &Path) -> io::Result<Option<u64>> {
    let file = match File::open(beside(log, "-wal")) {
        Ok(_) if planted(Bug::BrokenFrameIsTheEnd) => return Ok(None),
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    scan(BufReader::with_capacity(1 << 18, file))
}

/// Corrects the checksums of all frames of the last round, in a copy of a write-ahead log: SQLite
/// then reads on behind a broken frame, whose page stays as it is.
pub(super) fn make_right(log: &Path) -> io::Result<()> {
    let path = beside(log, "-wal");
    let mut bytes = match std::fs::read(&path) {
        Ok(bytes) if bytes.len() >= HEADER_BYTES => bytes,
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (header, frames) = bytes.split_at_mut(HEADER_BYTES);
    let Some((mut sum, salts)) = Sum::of_header(header).or_else(|| make_header(header, frames))
    else {
        return Ok(());
    };
    for frame in frames.chunks_exact_mut(FRAME_HEADER_BYTES + PAGE) {
        let found = Frame::of(frame);
        if found.salts[0] != salts[0] && found.salts[1] != salts[1] {
            break; // Of an earlier round.
        }
        (sum.0, sum.1) = sum.after(frame);
        for (at, word) in (8..).step_by(4).zip([salts[0], salts[1], sum.0, sum.1]) {
            frame[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
    }
    std::fs::write(path, bytes)
}

/// Writes a header for these frames, if two of them agree on its content.
fn make_header(header: &mut [u8], frames: &[u8]) -> Option<(Sum, [u32; 2])> {
    let mut frames = frames.chunks_exact(FRAME_HEADER_BYTES + PAGE).map(Frame::of);
    let (first, second) = (frames.next()?, frames.next()?);
    if first.salts != second.salts {
        return None;
    }
    let words = [MAGIC, 3_007_000, PAGE as u32, 0, first.salts[0], first.salts[1]];
    let mut put = |at: usize, word: u32| header[at..at + 4].copy_from_slice(&word.to_be_bytes());
    (0..).step_by(4).zip(words).for_each(|(at, word)| put(at, word));
    let mut sum = Sum(0, 0, false);
    sum.add(&header[..24]);
    header[24..28].copy_from_slice(&sum.0.to_be_bytes());
    header[28..32].copy_from_slice(&sum.1.to_be_bytes());
    Some((sum, first.salts))
}

fn scan(mut file: impl Read) -> io::Result<Option<u64>> {
    let mut header = [0; HEADER_BYTES];
    if !filled(&mut file, &mut header)? {
        return Ok(None);
    }
    let Some((mut sum, salts)) = Sum::of_header(&header) else { return Ok(None) };
    let mut frame = vec![0; FRAME_HEADER_BYTES + PAGE];
    let (mut broken, mut right) = (None, None::<Sum>);
    // Behind a broken frame: true if the end of its commit was passed, and true if all frames of
    // the present commit are whole.
    let (mut passed, mut whole_so_far) = (false, true);
    for nth in 1_u64.. {
        if !filled(&mut file, &mut frame)? {
            break;
        }
        let found = Frame::of(&frame);
        // Behind a frame whose own checksum was damaged, the right one goes on.
        let follows = [Some(sum.after(&frame)), right.as_ref().map(|right| right.after(&frame))];
        let whole = found.salts == salts && follows.contains(&Some(found.sum));
        if !whole && broken.is_none() {
            broken = Some(nth);
        }
        whole_so_far &= whole;
        let of_this_round = found.salts[0] == salts[0] || found.salts[1] == salts[1];
        if broken.is_some() && found.commits && of_this_round {
            if passed && whole_so_far {
                return Ok(broken);
            }
            (passed, whole_so_far) = (true, true);
        }
        let computed = sum.after(&frame);
        right = (computed != found.sum).then_some(Sum(computed.0, computed.1, sum.2));
        (sum.0, sum.1) = found.sum;
    }
    Ok(None)
}

/// Fills the buffer; `false` where the file ends before it is full.
fn filled(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The header of a frame.
struct Frame {
    /// True if the frame ends a commit.
    commits: bool,
    salts: [u32; 2],
    sum: (u32, u32),
}

impl Frame {
    fn of(frame: &[u8]) -> Self {
        Self {
            commits: number(frame, 4) != 0,
            salts: [number(frame, 8), number(frame, 12)],
            sum: (number(frame, 16), number(frame, 20)),
        }
    }
}

/// The running checksum, and true if its words are big-endian.
struct Sum(u32, u32, bool);

impl Sum {
    /// The checksum and the salts of a whole header.
    fn of_header(header: &[u8]) -> Option<(Self, [u32; 2])> {
        let big = match number(header, 0) {
            MAGIC => false,
            magic if magic == MAGIC | 1 => true,
            _ => return None,
        };
        let mut sum = Self(0, 0, big);
        sum.add(&header[..24]);
        let whole = (sum.0, sum.1) == (number(header, 24), number(header, 28));
        let known = number(header, 8) as usize == PAGE;
        (whole && known).then(|| (sum, [number(header, 16), number(header, 20)]))
    }

    /// The checksum after this frame.
    fn after(&self, frame: &[u8]) -> (u32, u32) {
        let mut sum = Self(self.0, self.1, self.2);
        sum.add(&frame[..8]);
        sum.add(&frame[FRAME_HEADER_BYTES..]);
        (sum.0, sum.1)
    }

    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks_exact(8) {
            let [one, two] = [0, 4].map(|at| {
                let word = number(pair, at);
                if self.2 { word } else { word.swap_bytes() }
            });
            self.0 = self.0.wrapping_add(one).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(two).wrapping_add(self.0);
        }
    }
}

/// A big-endian word of the file. The caller's slice is long enough.
fn number(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

#[cfg(test)]
mod tests;
