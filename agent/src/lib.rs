//! The agent: packets in, alerts out.
//!
//! Packets are read, metered and scored; alerts go to files and, through the outbox, to the broker; releases come back
//! through the update store. Modules are listed in that order, and each imports only modules listed above it
//! (`tests/edge/tests/agent_rules.rs`).

// Time and log.
mod clock;
mod log;
mod random;

// Packets → flow records.
pub use lapwing_capture as capture;
mod interruptible;
mod lan;
mod pace;
pub mod shed;

// Flow records → scores → alerts and samples.
pub mod detector;
pub mod output;
mod sampler;
mod scoring;
mod batch;
mod pipeline;

// Counters → the report on this agent.
mod coverage;
mod notify;
mod report;
mod monitor;

// Disk, and what the configuration sizes.
pub mod disk;
mod habit_file;
pub mod outbox;
mod budget;
#[cfg_attr(not(feature = "tls"), allow(dead_code, unused_imports, reason = "enrolment needs TLS"))]
mod identity;
pub mod config;
mod privacy;

// Releases → engines.
pub mod update;
pub mod engines;
pub mod release_file;

// Alerts → firewall, broker, people.
pub mod response;
pub mod publish;
mod status;

// The program.
pub mod cli;
mod confine;
pub mod commands;

#[cfg(test)]
mod hidden_ports_tests;

use commands::meter::Input;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code after a command line that cannot be used.
const USAGE: u8 = 2;
/// Exit code of `enroll` while the agent waits for an operator.
#[cfg(feature = "tls")]
const WAITING: u8 = 3;

/// Runs the program; the first argument is the program's name.
///
/// Exit codes: 0 success, 1 failure (one line on standard error says which), 2 invalid command line, 3 `enroll` waits for
/// an operator.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match cli::parse(arguments) {
        Ok(cli::Request::Command(command)) => command,
        Ok(cli::Request::Text(parts)) => return printed(&parts),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(USAGE);
        }
    };
    log::start();
    match execute(*command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lapwing-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints texts and ends.
fn printed(parts: &[&str]) -> ExitCode {
    match parts.iter().try_for_each(|part| print(part)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints a text; a reader that stops early, like `head`, is no error.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn execute(command: cli::Command) -> anyhow::Result<ExitCode> {
    match command {
        cli::Command::Replay { files, options } => {
            let never = Arc::new(AtomicBool::new(false));
            commands::meter::meter(Input::Files(&files), &options, &never, &|| Ok(()))?;
        }
        cli::Command::Run { input, options } => {
            options.refuse_unsigned()?;
            let stopped = Arc::new(AtomicBool::new(false));
            let listen = || stop_on_signal(&stopped);
            let input = match &input {
                Some(path) => Input::Pipe(path),
                None => Input::Interfaces,
            };
            commands::meter::meter(input, &options, &stopped, &listen)?;
        }
        cli::Command::Status { agent, json } => print(&status::ask::status(&agent.socket()?, json)?)?,
        cli::Command::Top { agent } => status::ask::top(&agent.socket()?)?,
        cli::Command::TestAlert { agent } => print(&status::ask::test_alert(&agent.socket()?)?)?,
        cli::Command::Update { agent, request } => {
            print(&status::ask::update(&agent.socket()?, &request)?)?;
        }
        cli::Command::Validate { config } => print(&commands::validate::validate(&config)?)?,
        cli::Command::ResponseHelper => commands::response_helper::run()?,
        #[cfg(feature = "tls")]
        cli::Command::Enroll(args) => {
            let enrolled = commands::enroll::enroll(&args)?;
            print(&enrolled.text)?;
            if enrolled.is_waiting {
                return Ok(ExitCode::from(WAITING));
            }
        }
        cli::Command::Inspect { release, keys } => print(&commands::inspect::inspect(&release, &keys)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets the flag on SIGINT or SIGTERM, and on SIGHUP if a terminal was closed.
///
/// Other SIGHUPs are ignored with a line in the log. The configuration cannot be read again: it may belong to root, and the
/// agent has dropped the rights to read it, to open packet sockets and to start programs. A service manager can restart it.
fn stop_on_signal(stopped: &Arc<AtomicBool>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let flag = Arc::clone(stopped);
    let is_at_terminal = std::io::stderr().is_terminal();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    // From here on the handlers are in place, so no early signal ends the agent without a summary.
    let guard = runtime.enter();
    let (mut interrupt, mut terminate, mut hangup) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    drop(guard);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => break,
                    _ = terminate.recv() => break,
                    _ = hangup.recv() => {
                        if is_at_terminal {
                            break;
                        }
                        tracing::warn!("SIGHUP ignored: to use a changed configuration, restart the agent");
                    }
                }
            }
            flag.store(true, Ordering::Relaxed);
        });
    })?;
    Ok(())
}
