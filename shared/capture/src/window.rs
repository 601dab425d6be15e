//! A byte stream → a window onto its next bytes: one buffer of fixed size, which grows only for a record that does not
//! fit, and never beyond its limit.

use std::io::{self, Read};

/// Bytes of the window at start.
pub const WINDOW_BYTES: usize = 256 * 1024;
/// Bytes that the window may grow to, and so the longest record that can be read.
pub const WINDOW_LIMIT_BYTES: usize = 1024 * 1024;

/// `bytes[start..end]` are read and not yet consumed.
pub(super) struct Window {
    source: Box<dyn Read + Send>,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the stream before `bytes[0]`.
    before: u64,
    ended: bool,
    /// The stream said that it ended too early.
    cut: bool,
}

impl Window {
    pub(super) fn new(source: Box<dyn Read + Send>) -> Self {
        Self { source, bytes: vec![0; WINDOW_BYTES], start: 0, end: 0, before: 0, ended: false, cut: false }
    }

    /// Bytes of the stream that were consumed.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.start as u64
    }

    /// Whether the stream said that it ended too early, as gzip does.
    pub(super) fn cut(&self) -> bool {
        self.cut
    }

    /// What is read and not consumed.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        match self.bytes.get(self.start..self.end) {
            Some(bytes) => bytes,
            None => nothing(),
        }
    }

    /// Place of the next byte in the window, for [`Window::slice`]; holds until the next [`Window::ensure`].
    #[inline]
    pub(super) fn place(&self) -> usize {
        self.start
    }

    /// Bytes at a place, consumed or not.
    #[inline]
    pub(super) fn slice(&self, place: usize, octets: usize) -> &[u8] {
        match self.bytes.get(place..place + octets) {
            Some(bytes) => bytes,
            None => nothing(),
        }
    }

    /// Whether so many bytes are unread.
    #[inline]
    pub(super) fn holds(&self, octets: usize) -> bool {
        self.end - self.start >= octets
    }

    /// Reads until `octets` bytes, at most [`WINDOW_LIMIT_BYTES`], are unread; false where the stream ends before.
    #[inline]
    pub(super) fn ensure(&mut self, octets: usize) -> io::Result<bool> {
        if self.end - self.start >= octets {
            return Ok(true);
        }
        self.refill(octets)
    }

    /// Goes on behind `octets` bytes that [`Window::ensure`] promised.
    #[inline]
    pub(super) fn consume(&mut self, octets: usize) {
        self.start = (self.start + octets).min(self.end);
    }

    /// Goes on behind `octets` bytes of any number; false where the stream ends before.
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
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => (self.ended, self.cut) = (true, true),
                Err(error) => return Err(error),
            }
        }
        Ok(self.end >= octets)
    }
}

/// No bytes; apart, so that what always is there is taken without a choice.
#[cold]
fn nothing() -> &'static [u8] {
    &[]
}
