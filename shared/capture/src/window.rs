//! Byte stream → window on its next bytes: one buffer, which grows only for a record that does not fit, up to a limit.

use std::io::{self, Read};

/// Initial size of the window, bytes.
pub const WINDOW_BYTES: usize = 256 * 1024;
/// Largest size of the window and of a record, bytes.
pub const WINDOW_LIMIT_BYTES: usize = 1024 * 1024;

/// `bytes[start..end]` is read but not yet consumed.
pub(super) struct Window {
    source: Box<dyn Read + Send>,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the stream before `bytes[0]`.
    before: u64,
    ended: bool,
    /// The stream reported a premature end.
    cut_short: bool,
}

impl Window {
    pub(super) fn new(source: Box<dyn Read + Send>) -> Self {
        Self { source, bytes: vec![0; WINDOW_BYTES], start: 0, end: 0, before: 0, ended: false, cut_short: false }
    }

    /// Consumed bytes of the stream.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.start as u64
    }

    /// True if the stream reported a premature end, as gzip does.
    pub(super) fn cut_short(&self) -> bool {
        self.cut_short
    }

    /// Bytes read but not consumed.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        match self.bytes.get(self.start..self.end) {
            Some(bytes) => bytes,
            None => empty(),
        }
    }

    /// Position of the next byte in the window, for [`Window::slice`]; valid until the next [`Window::ensure`].
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.start
    }

    /// Bytes at a position, consumed or not.
    #[inline]
    pub(super) fn slice(&self, position: usize, octets: usize) -> &[u8] {
        match self.bytes.get(position..position + octets) {
            Some(bytes) => bytes,
            None => empty(),
        }
    }

    /// True if at least `octets` bytes are unread.
    #[inline]
    pub(super) fn holds(&self, octets: usize) -> bool {
        self.end - self.start >= octets
    }

    /// Reads until `octets` bytes, at most [`WINDOW_LIMIT_BYTES`], are unread; false if the stream ends first.
    #[inline]
    pub(super) fn ensure(&mut self, octets: usize) -> io::Result<bool> {
        if self.end - self.start >= octets {
            return Ok(true);
        }
        self.refill(octets)
    }

    /// Consumes `octets` bytes made available by [`Window::ensure`].
    #[inline]
    pub(super) fn consume(&mut self, octets: usize) {
        self.start = (self.start + octets).min(self.end);
    }

    /// Skips any number of bytes; false if the stream ends first.
    pub(super) fn skip(&mut self, mut octets: u64) -> io::Result<bool> {
        loop {
            let step = octets.min((self.end - self.start) as u64);
            self.start += step as usize;
            octets -= step;
            if octets == 0 {
                return Ok(true);
            }
            if !self.ensure(1)? {
                return Ok(false);
            }
        }
    }

    #[cold]
    fn refill(&mut self, octets: usize) -> io::Result<bool> {
        let octets = octets.min(WINDOW_LIMIT_BYTES);
        self.bytes.copy_within(self.start..self.end, 0);
        self.before += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        if self.bytes.len() < octets {
            self.bytes.resize(octets, 0);
        }
        while self.end < octets && !self.ended {
            match self.source.read(&mut self.bytes[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    (self.ended, self.cut_short) = (true, true)
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.end >= octets)
    }
}

/// Cold, so that the common case is the predicted branch.
#[cold]
fn empty() -> &'static [u8] {
    &[]
}
