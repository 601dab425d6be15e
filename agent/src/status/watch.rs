//! Counters of packets, scoring, interfaces and clock → the report, the health figures, load shedding and signs of life.
//! Called on the scoring thread, at least twice a second; looks twice a second.

use super::{Board, Fill};
use crate::clock;
use crate::coverage::{Coverage, Totals};
use crate::notify::Notifier;
use crate::output::summary::peak_memory_bytes;
use crate::pipeline::Progress;
use crate::scoring::ScoringCounters;
use crate::shed::Controller;
use lapwing_live::{Shared, rights};

/// Between two looks, milliseconds.
const LOOK_MS: u64 = 500;
/// Rates are over so long, milliseconds.
const RATE_MS: u64 = 2_000;
/// Scored flows after which the local correction has settled: twice its time constant.
pub const LEARNED_ROWS: u64 = 4_096;

/// What a live run knows besides the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets that the kernel dropped.
    pub kernel_drops: u64,
    /// Octets seen.
    pub seen_octets: u64,
    /// Octets that passed the interfaces.
    pub moved_octets: u64,
    /// See [`crate::coverage`].
    pub degraded: bool,
    /// Share of flows looked at.
    pub sampled_permille: u16,
    /// The wall clock is set.
    pub clock_set: bool,
    /// Nanoseconds from frame times to wall times.
    pub to_wall: i64,
}

/// See the module's text.
pub struct Watch {
    /// The live source's side.
    pub shared: Option<Shared>,
    /// The report.
    pub board: Board,
    /// Sheds load.
    pub controller: Option<Controller>,
    /// Share of one core from which on load is shed, per cent; 0: never for that.
    pub cpu_percent: u64,
    /// The service manager.
    pub notifier: Notifier,
    /// Capacities of the flow and host tables.
    pub capacities: (usize, usize),
    coverage: Coverage,
    figures: Figures,
    looked_ms: Option<u64>,
    rate_from: (u64, u64, u64),
}

impl Watch {
    /// Watches nothing but the pipeline.
    pub fn new(board: Board, capacities: (usize, usize)) -> Self {
        Self {
            shared: None,
            board,
            controller: None,
            cpu_percent: 0,
            notifier: Notifier::default(),
            capacities,
            coverage: Coverage::default(),
            figures: Figures { sampled_permille: 1000, ..Figures::default() },
            looked_ms: None,
            rate_from: (0, 0, 0),
        }
    }

    /// Takes the pipeline's counters.
    pub fn note(&mut self, progress: &Progress, scoring: &ScoringCounters, now_ms: u64) -> Figures {
        self.notifier.alive(now_ms);
        if self.looked_ms.is_some_and(|looked_ms| now_ms.saturating_sub(looked_ms) < LOOK_MS) {
            return self.figures;
        }
        self.looked_ms = Some(now_ms);
        self.figures.clock_set = clock::wall_s().is_some();
        if let Some(shared) = self.shared.clone() {
            self.look_at_interfaces(&shared, now_ms);
        }
        self.report(progress, scoring, now_ms);
        self.figures
    }

    fn look_at_interfaces(&mut self, shared: &Shared, now_ms: u64) {
        let interfaces = shared.interfaces();
        let (to_wall, clock_steps) = shared.clock();
        let sum = |of: fn(&lapwing_live::InterfaceReport) -> u64| interfaces.iter().map(of).sum::<u64>();
        let totals = Totals {
            seen_octets: sum(|one| one.octets),
            moved_octets: (!interfaces.iter().any(|one| one.filtered)).then(|| sum(|one| one.moved_octets)),
            packets: sum(|one| one.packets),
            dropped: sum(|one| one.dropped),
        };
        if self.coverage.note(now_ms, totals) {
            match self.coverage.degraded() {
                Some(why) => tracing::warn!(%why, "coverage degraded"),
                None => tracing::info!("coverage good again"),
            }
        }
        if let Some(controller) = &mut self.controller {
            let changed = controller.look(now_ms, totals.dropped, rights::cpu_ms(), self.cpu_percent);
            if let Some(permille) = changed {
                tracing::warn!(permille, "share of flows that is looked at has changed with the load");
            }
            self.figures.sampled_permille = controller.permille();
        }
        self.figures.kernel_drops = totals.dropped;
        self.figures.seen_octets = totals.seen_octets;
        self.figures.moved_octets = totals.moved_octets.unwrap_or(0);
        self.figures.degraded = self.coverage.degraded().is_some();
        self.figures.to_wall = to_wall;
        let mut report = self.board.edit();
        report.interfaces = interfaces.into_iter().map(Into::into).collect();
        report.clock_steps = clock_steps;
        report.coverage_degraded = self.coverage.degraded().map(|why| why.to_string());
    }

    fn report(&mut self, progress: &Progress, scoring: &ScoringCounters, now_ms: u64) {
        let packets = progress.flows.packets + progress.refusals.total();
        let mut report = self.board.edit();
        let (from_ms, from_packets, from_octets) = self.rate_from;
        let span_ms = now_ms.saturating_sub(from_ms);
        if span_ms >= RATE_MS {
            let rate = |now: u64, from: u64| now.saturating_sub(from) as f64 * 1000.0 / span_ms as f64;
            report.packets_per_second = rate(packets, from_packets);
            report.octets_per_second = rate(progress.flows.network_octets, from_octets);
            report.peak_memory_bytes = peak_memory_bytes();
            self.rate_from = (now_ms, packets, progress.flows.network_octets);
        }
        report.uptime_s = now_ms / 1000;
        report.packets = packets;
        let refused = progress.refusals.iter().filter(|(_, count)| *count > 0);
        report.refused = refused.map(|(reason, count)| (reason.name().to_owned(), count)).collect();
        let fill =
            |held: usize, capacity: usize, evicted| Fill { held: held as u64, capacity: capacity as u64, evicted };
        report.flows = fill(progress.held_flows, self.capacities.0, progress.flows.evictions);
        report.hosts = fill(progress.held_hosts, self.capacities.1, progress.host_evictions);
        report.records = progress.flows.records;
        report.scored = scoring.scored;
        report.unscored = scoring.engine_faults + progress.left_out;
        report.local_correction_nats = scoring.correction_nats;
        report.learning = report.release > 0 && scoring.scored < LEARNED_ROWS;
        report.alerts = scoring.judge.episodes;
        report.sampled_permille = self.figures.sampled_permille;
        report.shed = self.controller.as_ref().map_or(0, Controller::shed);
        report.clock_set = self.figures.clock_set;
    }
}

/// The agent ends in order.
impl Drop for Watch {
    fn drop(&mut self) {
        self.notifier.stopping();
    }
}
