//! Alerts in the trainer's store → the attack class of each, as the demo shows it.

use super::PATIENCE;
use super::console::say;
use super::parties::Trainer;
use anyhow::{Context, ensure};
use lapwing_shared::verdict::alert::NO_HOST;
use lapwing_store::{AlertFilter, Episode, StoreHandle, UNKNOWN_CLASS};

/// The classifier, trained on the labelled captures of home-a (tests/data/README.md has the command).
pub(super) const CLASSIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/attack-classifier.lwm");

/// Waits until the trainer has classified every stored alert, and shows the classes by home.
///
/// # Errors
/// An alert without a class, or no alert with a known class.
pub(super) fn show(trainer: &Trainer, homes: &[&str]) -> anyhow::Result<()> {
    let store = StoreHandle::open(trainer.store())?;
    while !store.unclassified_episodes(1)?.is_empty() {
        trainer.wait_for_classification(PATIENCE)?;
    }
    let mut alerts = store.alerts(&AlertFilter { limit: u32::MAX >> 1, ..AlertFilter::default() })?;
    // Alerts about the whole site have no host, no rows and no class.
    alerts.retain(|alert| alert.record.host != NO_HOST);
    for alert in &alerts {
        ensure!(alert.class.is_some(), "alert episode {} of {} was not classified", alert.number, alert.agent);
    }
    ensure!(alerts.iter().any(is_known), "none of {} alerts has a known attack class", alerts.len());
    for home in homes {
        show_home(home, alerts.iter().rev().filter(|alert| alert.agent == *home).collect())?;
    }
    Ok(())
}

fn show_home(home: &str, alerts: Vec<&Episode>) -> anyhow::Result<()> {
    let known: Vec<_> = alerts.iter().filter(|alert| is_known(alert)).collect();
    for alert in &known {
        let class = alert.class.as_ref().context("an alert without a class")?;
        let (host, role) = (alert.record.host, alert.role());
        let probability = class.probability.context("a class without a probability")?;
        let (class, rows) = (&class.class, class.rows);
        say(&format!("{home}: {host} as {role}: {class}, probability {probability:.2}, from {rows} rows"));
    }
    let unknown = alerts.len() - known.len();
    say(&format!("{home}: classified {} of {} alerts ({unknown} unknown)", known.len(), alerts.len()));
    Ok(())
}

fn is_known(alert: &Episode) -> bool {
    alert.class.as_ref().is_some_and(|class| class.class != UNKNOWN_CLASS)
}
