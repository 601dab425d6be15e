//! A campaign: the gateway takes part in a wave, is sent back by the next rollout, and does so although the power fails while
//! it goes back.

use crate::feed::Feed;
use crate::machine::Machine;
use crate::setup::{PATIENCE, Setup, heading, say};
use lapwing_shared::messages::UpdateStep;
use lapwing_shared::release::manifest::Name;
use lapwing_shared::rollout::message::{Next, PLACES, Rollout, TelemetryBudget};

/// Telemetry as without a rollout.
const BUDGET: TelemetryBudget = TelemetryBudget { rows_per_day: 1_000_000, health_every_s: 10 };

/// The first rollout of a group that runs `base`.
fn first(group: Name, base: u64) -> Rollout {
    Rollout {
        group,
        serial: 1,
        base,
        next: None,
        withdrawn: Default::default(),
        withdrawn_below: 0,
        spread_s: 0,
        budget: BUDGET,
        issued_s: 1_700_000_000,
        expires_s: 1 << 33,
    }
}

/// Runs the campaign on a gateway that has confirmed `base`, and whose spare slot has another release.
pub(crate) fn run(
    setup: &mut Setup,
    mut machine: Machine,
    mut feed: Feed,
    base: u64,
) -> anyhow::Result<(Machine, Feed)> {
    let version = base + 1;
    heading(&format!("A wave of a campaign reaches the gateway: it installs release {version}"));
    let mut rollout = first(setup.key.group()?, base);
    rollout.next = Some(Next { version, salt: *b"qemutest", reach: [PLACES; 3] });
    setup.listener.publish(setup.key.for_rollouts(version, setup.form)?)?;
    setup.listener.publish(vec![setup.key.rollout(&rollout)?])?;
    setup.wait_for_step(version, &UpdateStep::Trial)?;
    setup.feed_server.send(&mut feed, &setup.captures.join("home-a-benign-2.pcap.gz"))?;
    setup.wait_for_step(version, &UpdateStep::Confirmed)?;
    setup.attack(&mut feed, version)?;

    heading("The release is withdrawn, and the power fails while the gateway goes back");
    (rollout.serial, rollout.next) = (2, None);
    rollout.withdraw(version);
    let flushes = machine.flushes()?;
    setup.listener.publish(vec![setup.key.rollout(&rollout)?])?;
    machine.until_flushed(flushes, 1, PATIENCE)?;
    machine.cut_power()?;
    let (machine, mut feed) = setup.boot()?;
    setup.wait_until_in_use(base)?;
    setup.attack(&mut feed, base)?;
    say(&format!("release {base} is in use again, from the spare slot"));
    Ok((machine, feed))
}
