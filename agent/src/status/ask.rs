//! `status`, `top`, `test-alert` and `update`: request to a running agent's socket → its answer.

use super::ERROR;
use anyhow::Context;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest answer, bytes.
const ANSWER_BYTES: u64 = 1 << 20;
/// How long the agent may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between two reports of `top`.
const REFRESH: Duration = Duration::from_secs(1);
/// ANSI escape sequences: move the cursor home, clear the rest of the screen, clear the rest of the line.
const HOME: &str = "\x1b[H";
const CLEAR_REST: &str = "\x1b[J";
const CLEAR_LINE: &str = "\x1b[K";

/// Sends one request and returns the answer.
///
/// # Errors
/// When no agent answers.
pub(crate) fn ask(socket: &Path, request: &str) -> anyhow::Result<String> {
    let context = || format!("no agent answers at {}: is it running, and may you access the socket?", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(context)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    writeln!(stream, "{request}").with_context(context)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer).with_context(context)?;
    Ok(answer)
}

/// The agent's report as text or JSON.
///
/// # Errors
/// When no agent answers.
pub(crate) fn status(socket: &Path, json: bool) -> anyhow::Result<String> {
    ask(socket, if json { "status" } else { "text" })
}

/// Shows the report every second until interrupted.
///
/// # Errors
/// When the agent no longer answers.
pub(crate) fn top(socket: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let mut show = |text: &str| match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads has enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        done => done.map(|()| true),
    };
    let mut is_read = show(&format!("{HOME}{CLEAR_REST}"))?;
    while is_read {
        let report = status(socket, false)?;
        let lines: String = report.lines().map(|line| format!("{line}{CLEAR_LINE}\n")).collect();
        is_read = show(&format!("{HOME}{lines}{CLEAR_REST}"))?;
        std::thread::sleep(REFRESH);
    }
    Ok(())
}

/// Makes the agent send a test alert; returns a line that says whether it is queued.
///
/// # Errors
/// When no agent answers, or it cannot queue the alert.
pub(crate) fn test_alert(socket: &Path) -> anyhow::Result<String> {
    ask_checked(socket, "test-alert-text")
}

/// Changes or shows the settings for updates; returns a line about them.
///
/// # Errors
/// When no agent answers, or it cannot change them.
pub(crate) fn update(socket: &Path, request: &str) -> anyhow::Result<String> {
    ask_checked(socket, &format!("update {request}"))
}

fn ask_checked(socket: &Path, request: &str) -> anyhow::Result<String> {
    let answer = ask(socket, request)?;
    match answer.strip_prefix(ERROR) {
        Some(error) => anyhow::bail!("{}", error.trim_end()),
        None => Ok(answer),
    }
}
