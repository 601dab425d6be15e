//! Kinds of alerts: the model that names them, and what the trainer's store says they were named.

use super::parties::Trainer;
use super::{PATIENCE, say, this_program};
use anyhow::{Context, ensure};
use lapwing_trainer::store::{AlertFilter, AlertLine, Desk, NO_KIND};
use std::path::Path;
use std::process::Stdio;

/// Messages of either sort that would still be to look at.
const NEXT: u32 = 1;

/// Learns two stages from the labelled attacks and a day of one home.
///
/// # Errors
/// When no model was made.
pub(super) fn learn(captures: &Path, home: &str, model: &Path) -> anyhow::Result<()> {
    let capture = |name: &str| captures.join(format!("{home}-{name}.pcap.gz"));
    let made = this_program("trainer")?
        .args(["evaluate", "--kind", "capture", "--method", "two-stage", "--namer", "random-forest"])
        .args(["--split", "random", "--resamples", "0"])
        .arg("--train")
        .arg(capture("attacks"))
        .arg("--train")
        .arg(capture("benign"))
        .arg("--save")
        .arg(model)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(made.success(), "no model of attack kinds could be made");
    Ok(())
}

/// Waits until the trainer has looked at all that it has stored, and tells what every home's alerts were named.
///
/// # Errors
/// An alert without a kind, or no alert at all whose kind the trainer knows.
pub(super) fn tell(trainer: &Trainer, homes: &[&str]) -> anyhow::Result<()> {
    let desk = Desk::open(&trainer.store())?;
    // What has come after the last look is looked at next; the trainer says when it has.
    while waits(&desk)? {
        trainer.looked(PATIENCE)?;
    }
    let alerts = desk.alerts(&AlertFilter { limit: u32::MAX >> 1, ..AlertFilter::default() })?;
    for line in &alerts {
        ensure!(line.kind.is_some(), "alert episode {} of {} arrived without a kind", line.episode, line.agent);
    }
    let named = |line: &&AlertLine| line.kind.as_deref().is_some_and(|kind| kind != NO_KIND);
    ensure!(alerts.iter().any(|line| named(&line)), "none of {} alerts was named", alerts.len());
    for home in homes {
        let of_home: Vec<&AlertLine> = alerts.iter().rev().filter(|line| line.agent == *home).collect();
        for line in of_home.iter().filter(|line| named(line)) {
            let probability = line.kind_probability.context("a kind without a probability")?;
            let (host, role, kind, rows) = (&line.host, line.role, line.kind.as_deref(), line.kind_rows.unwrap_or(0));
            say(&format!(
                "{home}: {host} as {role}: {}, probability {probability:.2}, by {rows} rows",
                kind.unwrap_or("")
            ));
        }
        let known = of_home.iter().filter(|line| named(line)).count();
        say(&format!("{home}: {known} of {} alerts named, the others unknown", of_home.len()));
    }
    Ok(())
}

/// Whether something was stored that the trainer has not looked at.
fn waits(desk: &Desk) -> anyhow::Result<bool> {
    let before = desk.looked_at()?;
    Ok(desk.episodes_to_name(before, NEXT)?.1 != before)
}
