//! Changes below a folder → a wake-up (inotify(7)), so that nothing has to poll for a file.

use lapwing_common::clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::{Errno, read};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// Longest time between two looks: the end of a process changes no file.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Calls `look` now and after every change below `folder`, until it returns something or `patience` ends.
///
/// # Errors
/// When the folder does not exist, or the system has no more watches.
pub fn until<T>(folder: &Path, patience: Duration, mut look: impl FnMut() -> Option<T>) -> io::Result<Option<T>> {
    let watcher = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let end = clock::after(patience);
    loop {
        // Before each look, so that a new folder's files are either seen by it or wake the next wait.
        add(&watcher, folder)?;
        if let Some(seen) = look() {
            return Ok(Some(seen));
        }
        let left = end.saturating_duration_since(clock::monotonic());
        if left.is_zero() {
            return Ok(None);
        }
        wait(&watcher, left.min(LONGEST_WAIT))?;
    }
}

/// Watches a folder and those below it; watching one twice changes nothing.
fn add(watcher: &OwnedFd, folder: &Path) -> io::Result<()> {
    let changes = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::DELETE;
    add_watch(watcher, folder, changes)?;
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // A folder that is removed in this moment needs no watch.
            let _ = add(watcher, &entry.path());
        }
    }
    Ok(())
}

/// Blocks until something has changed or `longest` is over, and discards the events.
fn wait(watcher: &OwnedFd, longest: Duration) -> io::Result<()> {
    let longest = Timespec::try_from(longest).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(watcher, PollFlags::IN)], Some(&longest)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    while read(watcher, &mut [0_u8; 4096]).is_ok() {}
    Ok(())
}
