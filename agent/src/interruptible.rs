//! A file or pipe whose reads end when a flag is set, so that a signal can stop a run that is waiting for packets.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often a waiting read checks the flag.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Reads until the end of the input or until the flag is set; both look like the end of the input.
pub(crate) struct Interruptible<R> {
    input: R,
    stopped: Arc<AtomicBool>,
}

impl<R> Interruptible<R> {
    /// Wraps `input`; `stopped` ends it.
    pub(crate) fn new(input: R, stopped: Arc<AtomicBool>) -> Self {
        Self { input, stopped }
    }
}

impl<R: Read + AsFd> Read for Interruptible<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let mut waiting = [PollFd::new(&self.input, PollFlags::IN)];
            match poll(&mut waiting, Some(&POLL_INTERVAL)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.input.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Standard input for `-`, else the file or named pipe.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open(path: &Path, stopped: Arc<AtomicBool>) -> io::Result<Box<dyn Read + Send>> {
    if path.to_str() == Some("-") {
        // Not `Stdin` itself: poll does not see what is in its buffer.
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        return Ok(Box::new(Interruptible::new(input, stopped)));
    }
    Ok(Box::new(Interruptible::new(File::open(path)?, stopped)))
}
