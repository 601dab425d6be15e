//! The packet side's two ends of the network thread: [`Reporter`] sends alerts, samples and verdicts; [`Remote`] brings
//! releases and the false-alert budget, and sends health.

use super::{FromPipeline, ToPipeline};
use crate::clock;
use crate::detector::Engine;
use crate::monitor::{Figures, Monitor};
use crate::output::summary::memory_kib;
use crate::pipeline::{Change, Control, PacketCounters};
use crate::report::SharedReport;
use crate::response::Responder;
use crate::scoring::{Installed, Listener, ScoringCounters};
use lapwing_live::{Shared, rights};
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::messages::{Alert, DetectorCounters, Health, Samples};
use lapwing_shared::privacy::Protection;
use lapwing_shared::release::trial::{TrialLimits, TrialMonitor, TrialVerdict};
use lapwing_shared::units::Timestamp;
use std::sync::mpsc::Receiver;
use tokio::sync::mpsc;

/// Releases for the scoring thread.
pub(super) type Installs = Receiver<ToPipeline<Box<dyn Engine>>>;

/// Interval between two health messages, milliseconds.
const HEALTH_MS: u64 = 10_000;

/// Sends alerts, samples and trial verdicts to the network thread.
pub(crate) struct Reporter {
    to_network: Option<mpsc::Sender<FromPipeline>>,
    report: SharedReport,
    /// Of a live source, for wall-clock times.
    shared: Option<Shared>,
    responder: Responder,
    /// Replaces the addresses of alerts that leave the gateway; `None`: they are plain.
    protection: Option<Protection>,
}

impl Reporter {
    pub(super) fn new(
        to_network: Option<mpsc::Sender<FromPipeline>>,
        monitor: &Monitor,
        responder: Responder,
        protection: Option<Protection>,
    ) -> Self {
        let (report, shared) = (monitor.report.clone(), monitor.shared.clone());
        Self { to_network, report, shared, responder, protection }
    }

    /// Waits for room in the channel, which the network thread drains even without a connection. Only the scoring thread
    /// calls this, so the packet thread does not wait.
    fn send(&mut self, message: FromPipeline) {
        if let Some(sender) = &self.to_network {
            // Fails only if the network thread has ended; its error is in the summary.
            let _ = sender.blocking_send(message);
        }
    }
}

impl Listener for Reporter {
    fn alert(&mut self, mut alert: Box<Alert>) {
        // Frame times of a live source are steady; people read wall-clock times, once the clock is set.
        if let (Some(shared), Some(_)) = (&self.shared, clock::wall_s()) {
            let (to_wall, _) = shared.clock();
            let shifted = |at: Timestamp| Timestamp::from_nanos(at.as_nanos().saturating_add_signed(to_wall));
            (alert.since, alert.at) = (shifted(alert.since), shifted(alert.at));
        }
        self.responder.alert(&alert);
        if self.to_network.is_some() {
            let mut published = (*alert).clone();
            if let Some(protection) = &self.protection {
                protection.protect(&mut published);
            }
            self.send(FromPipeline::Alert(published));
        }
        self.report.add_alert(alert);
    }

    fn record(&mut self, record: &FlowRecord) {
        self.responder.record(record);
    }

    fn samples(&mut self, samples: Samples) {
        self.send(FromPipeline::Samples(samples));
    }

    fn rows_per_day(&self) -> Option<u32> {
        self.report.edit().rollout.as_ref().map(|rollout| rollout.rows_per_day)
    }

    fn trial(&mut self, version: u64, verdict: TrialVerdict) {
        self.send(FromPipeline::TrialVerdict { version, verdict });
    }
}

/// Brings releases to the scoring thread, and sends health to the network thread.
pub(crate) struct Remote {
    to_network: Option<mpsc::Sender<FromPipeline>>,
    installs: Option<Installs>,
    /// When health was last sent, milliseconds; 0 before the first time.
    sent_ms: u64,
    last: Option<Health>,
    monitor: Monitor,
    /// Whether the network thread must still learn that the wall clock was set.
    clock_unset: bool,
    /// When the release in use came into use.
    began: Began,
    /// The false-alert budget that the scoring thread has from here; 0 before the first.
    alerts_per_day: f32,
}

/// Version that came into use, and CPU time and packets by then.
#[derive(Clone, Copy, Debug, Default)]
struct Began {
    version: u64,
    cpu_ms: u64,
    packets: u64,
}

impl Remote {
    pub(super) fn new(
        to_network: Option<mpsc::Sender<FromPipeline>>,
        installs: Option<Installs>,
        monitor: Monitor,
    ) -> Self {
        let clock_unset = clock::wall_s().is_none();
        Self {
            to_network,
            installs,
            sent_ms: 0,
            last: None,
            monitor,
            clock_unset,
            began: Began::default(),
            alerts_per_day: 0.0,
        }
    }

    /// Interval between two health messages, milliseconds. A rollout may lengthen it.
    fn health_ms(&self) -> u64 {
        let by_rollout_s = self.monitor.report.edit().rollout.as_ref().map_or(0, |rollout| rollout.health_every_s);
        HEALTH_MS.max(u64::from(by_rollout_s) * 1000)
    }

    /// The false-alert budget in force, if it has changed.
    fn new_budget(&mut self) -> Option<Change> {
        let alerts_per_day = self.monitor.report.edit().alerts_per_day;
        let before = std::mem::replace(&mut self.alerts_per_day, alerts_per_day);
        (alerts_per_day != before).then_some(Change::Budget(alerts_per_day))
    }

    /// Costs since the release in use came into use.
    fn add_costs(&mut self, health: &mut Health) {
        let (cpu_ms, packets, version) = (rights::cpu_ms(), health.packets, health.release.version);
        if self.began.version != version {
            self.began = Began { version, cpu_ms, packets };
        }
        health.release.cpu_ms = cpu_ms.saturating_sub(self.began.cpu_ms);
        health.release.packets = packets.saturating_sub(self.began.packets);
        health.release.rss_kib = u32::try_from(memory_kib("VmRSS:")).unwrap_or(u32::MAX);
    }
}

impl Control for Remote {
    fn next_change(&mut self) -> Option<Change> {
        let Ok(install) = self.installs.as_ref()?.try_recv() else { return self.new_budget() };
        match install {
            ToPipeline::Install(release) => {
                self.monitor.report.set_release(release.manifest.version, release.on_trial, release.engine.name());
                let trial = release.on_trial.then(|| Box::new(TrialMonitor::new(TrialLimits::default())));
                Some(Change::Use(Installed { manifest: release.manifest, engine: release.engine, trial }))
            }
            ToPipeline::Remove => {
                self.monitor.report.set_release(0, false, "");
                Some(Change::Stop)
            }
        }
    }

    fn retire(&mut self, installed: Installed) {
        drop(installed);
    }

    fn progress(&mut self, progress: &PacketCounters, scoring: ScoringCounters) {
        let now_ms = clock::monotonic_ms();
        let figures = self.monitor.update(progress, &scoring, now_ms);
        let Some(sender) = self.to_network.clone() else { return };
        match clock::wall_s() {
            // A set clock may be lost again.
            None => self.clock_unset = true,
            // Retried if the channel is full.
            Some(now_s) if self.clock_unset => {
                let message = FromPipeline::ClockSet { shift_ns: figures.to_wall, now_s };
                self.clock_unset = sender.try_send(message).is_err();
            }
            Some(_) => {}
        }
        let mut health = health(progress, scoring, &figures, now_ms);
        let since_ms = now_ms.saturating_sub(self.sent_ms);
        if self.sent_ms == 0 || (since_ms >= HEALTH_MS && since_ms >= self.health_ms()) {
            self.sent_ms = now_ms.max(1);
            self.add_costs(&mut health);
            // If the channel is full, the next message has the same counters.
            let _ = sender.try_send(FromPipeline::Health(health.clone()));
        }
        self.last = Some(health);
    }
}

/// Sends the final counters.
impl Drop for Remote {
    fn drop(&mut self) {
        if let (Some(sender), Some(mut health)) = (self.to_network.clone(), self.last.take()) {
            self.add_costs(&mut health);
            let _ = sender.try_send(FromPipeline::Health(health));
        }
    }
}

fn health(progress: &PacketCounters, scoring: ScoringCounters, figures: &Figures, now_ms: u64) -> Health {
    Health {
        at: progress.at,
        uptime_s: now_ms / 1000,
        packets: progress.flows.packets + progress.refusals.total(),
        octets: progress.flows.network_octets,
        refused: progress.refusals.total(),
        flows: progress.flows.records,
        flow_evictions: progress.flows.evictions,
        host_evictions: progress.host_evictions + scoring.tracker.evictions,
        scored: scoring.scored,
        unscored: scoring.engine_faults + progress.left_out,
        alerts: scoring.tracker.episodes + scoring.concealment.episodes,
        kernel_drops: figures.kernel_drops,
        refused_by_reason: progress.refusals.iter().map(|(_, count)| count).collect(),
        seen_octets: figures.seen_octets,
        moved_octets: figures.moved_octets,
        coverage_degraded: figures.degraded,
        sampled_permille: figures.sampled_permille,
        clock_set: figures.clock_set,
        detector: DetectorCounters { damaged_blocks: figures.damaged_blocks, ..progress.detector(&scoring.tracker) },
        release: scoring.release,
        ..Health::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Capacities;
    use crate::report::SharedReport;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn the_scoring_thread_gets_a_new_budget_once() {
        let (report, (_network, installs)) = (SharedReport::default(), sync_channel(1));
        let mut remote =
            Remote::new(None, Some(installs), Monitor::new(report.clone(), Capacities { flows: 1, hosts: 1 }));
        let mut next = || match remote.next_change() {
            Some(Change::Budget(alerts_per_day)) => Some(alerts_per_day),
            _ => None,
        };
        assert_eq!(next(), None);
        for alerts_per_day in [1.0, 0.25] {
            report.edit().alerts_per_day = alerts_per_day;
            assert_eq!([next(), next()], [Some(alerts_per_day), None]);
        }
    }
}
