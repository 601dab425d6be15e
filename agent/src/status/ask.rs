//! `status`, `top` and `test-alert`: asks a running agent over its socket and shows a person the answer.

use super::{Fill, Report};
use anyhow::Context;
use lapwing_shared::units::Utc;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest answer that is read, bytes.
const ANSWER_BYTES: u64 = 1 << 20;
/// An agent may take so long to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two pictures of `top`.
const REFRESH: Duration = Duration::from_secs(1);
/// ANSI: cursor home, and clear to the end of the screen; understood by every terminal and by busybox over ssh.
const HOME: &str = "\x1b[H";
const CLEAR_REST: &str = "\x1b[J";

/// One request, one answer.
///
/// # Errors
/// When no agent answers.
pub fn ask(socket: &Path, request: &str) -> anyhow::Result<String> {
    let context = || format!("no agent answers at {}; is it running, and may you read that socket?", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(context)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    writeln!(stream, "{request}").with_context(context)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer).with_context(context)?;
    Ok(answer)
}

/// The report as a person reads it, or as JSON; the agent that is asked writes either.
///
/// # Errors
/// When no agent answers.
pub fn status(socket: &Path, json: bool) -> anyhow::Result<String> {
    ask(socket, if json { "status" } else { "picture" })
}

/// Shows the report again and again, until it is interrupted.
///
/// # Errors
/// When the agent no longer answers.
pub fn top(socket: &Path) -> anyhow::Result<()> {
    print!("\x1b[2J");
    loop {
        let report = status(socket, false)?;
        let lines: String = report.lines().map(|line| format!("{line}\x1b[K\n")).collect();
        print!("{HOME}{lines}{CLEAR_REST}");
        std::io::stdout().flush()?;
        std::thread::sleep(REFRESH);
    }
}

fn fill(fill: &Fill) -> String {
    let percent = (fill.held * 100).checked_div(fill.capacity).unwrap_or(0);
    format!("{} of {} ({percent} %), {} evicted", fill.held, fill.capacity, fill.evicted)
}

/// The report, for people.
pub fn picture(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "lapwing-agent {}, up {} s, {:.1} MB at its peak",
        report.agent_version,
        report.uptime_s,
        report.peak_memory_bytes as f64 / 1e6
    )?;
    for one in &report.interfaces {
        writeln!(
            out,
            "  {:<15} {:<6} {} packets, {} octets seen of {} moved, {} dropped, lost {} times",
            one.name, one.link, one.packets, one.octets, one.moved_octets, one.dropped, one.losses
        )?;
    }
    match &report.coverage_degraded {
        Some(why) => writeln!(out, "COVERAGE DEGRADED: {why}")?,
        None => writeln!(out, "coverage good")?,
    }
    if report.sampled_permille < 1000 {
        let percent = f64::from(report.sampled_permille) / 10.0;
        writeln!(out, "LOAD SHEDDING: {percent} % of the flows are looked at, {} packets were not", report.shed)?;
    }
    let bits = report.octets_per_second * 8.0 / 1e6;
    writeln!(out, "rate    {:.0} packets/s, {bits:.2} Mbit/s", report.packets_per_second)?;
    let refused: Vec<String> = report.refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let refused = if refused.is_empty() { "none".into() } else { refused.join(", ") };
    writeln!(out, "refused {refused}")?;
    writeln!(out, "flows   {}", fill(&report.flows))?;
    writeln!(out, "hosts   {}", fill(&report.hosts))?;
    match report.release {
        0 => writeln!(out, "release none: nothing is scored")?,
        release => {
            let trial = if report.on_trial { ", on trial" } else { "" };
            let learning = if report.learning { ", still learning what is ordinary here" } else { "" };
            let nats = report.local_correction_nats;
            writeln!(out, "release {release}{trial} on {}, correction {nats:.2} nats{learning}", report.engine)?;
        }
    }
    writeln!(out, "scored  {} of {} records, {} not", report.scored, report.records, report.unscored)?;
    writeln!(out, "broker  {}", report.connection)?;
    writeln!(
        out,
        "outbox  {} wait, dropped {} alerts and {} others",
        report.outbox_waiting, report.outbox_dropped_alerts, report.outbox_dropped_telemetry
    )?;
    writeln!(
        out,
        "disk    {} octets written, made durable {} times, failed {} times",
        report.disk_octets, report.disk_syncs, report.disk_errors
    )?;
    if let Some(error) = &report.disk_error {
        writeln!(out, "STATE FOLDER CANNOT BE WRITTEN: {error}: what waits is lost when the agent ends")?;
    }
    if !report.clock_set {
        writeln!(out, "CLOCK NOT SET: times are floors, and are mended when it is")?;
    }
    writeln!(out, "rights  {}", report.confinement.join("; "))?;
    writeln!(out, "alerts  {} episodes, response {}", report.alerts, report.response)?;
    for alert in &report.last_alerts {
        let reason = |reason: &serde_json::Value| {
            let (name, unit) = (reason["feature"].as_str()?, reason["unit"].as_str()?);
            let number = |key: &str| reason[key].as_f64().unwrap_or(0.0);
            let (value, low, high) = (number("value"), number("normal_low"), number("normal_high"));
            let space = if unit.is_empty() { "" } else { " " };
            Some(format!("{name} {value:.1}{space}{unit}, normally {low:.1} to {high:.1}"))
        };
        let reasons: Vec<String> =
            alert["reasons"].as_array().into_iter().flatten().filter_map(reason).take(3).collect();
        let text = |key: &str| alert[key].as_str().unwrap_or("").to_owned();
        let test = if alert["test"] == true { "TEST " } else { "" };
        writeln!(
            out,
            "  {test}{} {} as {} at {} UTC: {}",
            text("state"),
            text("host"),
            text("role"),
            Utc(alert["at_s"].as_f64().unwrap_or(0.0) as u64),
            reasons.join("; ")
        )?;
    }
    Ok(())
}

/// Sends a test alert and says what became of it.
///
/// # Errors
/// When no agent answers, or it could not send the alert on.
pub fn test_alert(socket: &Path) -> anyhow::Result<String> {
    let answer = ask(socket, "test-alert")?;
    let value: serde_json::Value = serde_json::from_str(&answer)?;
    match value["error"].as_str() {
        Some(error) => anyhow::bail!("{error}"),
        None => Ok(format!(
            "test alert {} queued; broker: {}\n",
            value["episode"],
            value["connection"].as_str().unwrap_or("")
        )),
    }
}
