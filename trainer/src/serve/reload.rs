//! A command that makes the broker read its access list, without a shell. It runs beside the thread that starts it.

use lapwing_common::clock;
use std::fmt::Display;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Time for the command.
const COMMAND_TIME: Duration = Duration::from_secs(30);
/// Interval between two looks whether the command has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of its error output that are shown.
const SHOWN_BYTES: usize = 400;
/// Time for the rest of the error output after the end; other processes may keep it open.
const OUTPUT_TIME: Duration = Duration::from_millis(200);

/// A running command; killed when dropped.
pub(super) struct Reload {
    words: String,
    child: Child,
    deadline: Instant,
    errors: Errors,
}

impl Reload {
    /// Starts the command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(program: &str, arguments: &[String], now: Instant) -> Result<Self, String> {
        let words = [&[program.to_owned()], arguments].concat().join(" ");
        let start = || {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            let errors = Errors::read(child.stderr.take())?;
            Ok((child, errors))
        };
        let (child, errors) = start().map_err(|error: std::io::Error| failed(&words, &error))?;
        Ok(Self { words, child, deadline: now + COMMAND_TIME, errors })
    }

    /// Its result, if it ends within `patience`; `None` if it runs on.
    pub(super) fn result(&mut self, patience: Duration) -> Option<Result<(), String>> {
        let end = clock::after(patience);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Some(Ok(())),
                Ok(Some(status)) => return Some(Err(failed(&self.words, &self.errors.after(&status)))),
                Ok(None) => {}
                Err(error) => return Some(Err(failed(&self.words, &error))),
            }
            let now = clock::monotonic();
            if now >= self.deadline {
                let reason = format!("no end within {} s", COMMAND_TIME.as_secs());
                return Some(Err(failed(&self.words, &self.errors.after(&reason))));
            }
            if now >= end {
                return None;
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn failed(words: &str, reason: &dyn Display) -> String {
    format!("`{words}`: {reason}")
}

/// The beginning of the error output.
struct Errors {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Errors {
    /// Reads to the end on a thread, so that the command never waits for it.
    fn read(output: Option<impl Read + Send + 'static>) -> std::io::Result<Self> {
        let (bytes, (end, ended)) = (Arc::<Mutex<Vec<u8>>>::default(), channel());
        let kept = Arc::clone(&bytes);
        let read = move || {
            let _end = end;
            let (mut output, mut part) = (output, [0; 512]);
            while let Some(count) = output.as_mut().and_then(|output| output.read(&mut part).ok()).filter(|&n| n > 0) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = SHOWN_BYTES.saturating_sub(kept.len()).min(count);
                kept.extend(part.iter().take(room));
            }
        };
        thread::Builder::new().name("reload-errors".into()).spawn(read)?;
        Ok(Self { bytes, ended })
    }

    /// Why the command failed, and what it wrote, in one line.
    fn after(&self, reason: &dyn Display) -> String {
        // The sender is dropped at the end.
        let _ = self.ended.recv_timeout(OUTPUT_TIME);
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let text: String =
            String::from_utf8_lossy(&bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = text.trim();
        if text.is_empty() { reason.to_string() } else { format!("{reason}: {text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Result<(), String> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        Reload::start("sh", &arguments, clock::monotonic()).unwrap().result(Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn what_a_failed_command_wrote_is_shown_in_one_bounded_line() {
        let error = run("echo Interactive authentication required. >&2; echo and more >&2; exit 4").unwrap_err();
        assert!(error.ends_with("`: exit status: 4: Interactive authentication required. and more"), "{error}");
        let error = run("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1").unwrap_err();
        assert!(error.ends_with(&"x".repeat(SHOWN_BYTES)) && !error.contains(&"x".repeat(SHOWN_BYTES + 1)), "{error}");
        assert_eq!(run("echo warning >&2"), Ok(()));
    }

    #[test]
    fn a_command_that_hangs_ends_at_its_deadline() {
        let start = |now| Reload::start("sleep", &["60".to_owned()], now).unwrap();
        assert_eq!(start(clock::monotonic()).result(Duration::ZERO), None);
        let mut late = start(clock::monotonic() - COMMAND_TIME);
        assert_eq!(late.result(Duration::ZERO), Some(Err("`sleep 60`: no end within 30 s".into())));
    }
}
