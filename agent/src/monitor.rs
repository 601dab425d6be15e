//! Counters of packets, scoring, interfaces and clock → the report, health figures, load shedding and watchdog.
//!
//! Runs on the scoring thread, which calls it at least twice a second.

use crate::clock;
use crate::coverage::{Coverage, Totals};
use crate::notify::Notifier;
use crate::output::summary::{Reasons, peak_memory_bytes};
use crate::pipeline::PacketCounters;
use crate::report::{Fill, SharedReport};
use crate::scoring::ScoringCounters;
use crate::shed::Controller;
use lapwing_live::{Link, Shared, rights};
use lapwing_shared::context::irregular::IRREGULAR_HOSTS;
use lapwing_shared::messages::DetectorCounters;

/// Interval between two updates, milliseconds.
const UPDATE_MS: u64 = 500;
/// Interval that rates are averaged over, milliseconds.
const RATE_MS: u64 = 2_000;
/// Shortest interval between two warnings about the detector's limits, milliseconds.
const WARNING_MS: u64 = 60_000;
/// Scored flows after which the local correction has settled: twice its time constant.
pub(crate) const LEARNED_ROWS: u64 = 4_096;

/// Figures of a live run, for health messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Packets that the kernel dropped.
    pub(crate) kernel_drops: u64,
    /// Blocks of the capture rings with inconsistent contents.
    pub(crate) damaged_blocks: u64,
    pub(crate) seen_octets: u64,
    /// Octets by the interfaces' own counters.
    pub(crate) moved_octets: u64,
    /// See [`crate::coverage`].
    pub(crate) degraded: bool,
    /// Share of flows that are metered.
    pub(crate) sampled_permille: u16,
    /// Whether the wall clock is set.
    pub(crate) clock_set: bool,
    /// Nanoseconds to add to frame times for wall-clock times.
    pub(crate) to_wall: i64,
}

/// Capacities of the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacities {
    /// Of the flow table.
    pub(crate) flows: usize,
    /// Of the host table.
    pub(crate) hosts: usize,
}

/// Totals at the last rate update.
#[derive(Clone, Copy, Debug, Default)]
struct RateStart {
    at_ms: u64,
    packets: u64,
    octets: u64,
}

/// Updates the report. See the module's text.
pub(crate) struct Monitor {
    /// State of the live source, if there is one.
    pub(crate) shared: Option<Shared>,
    pub(crate) report: SharedReport,
    /// Decides on load shedding, in a live run.
    pub(crate) controller: Option<Controller>,
    /// CPU limit, per cent of one core; 0: none.
    pub(crate) cpu_percent: u64,
    pub(crate) notifier: Notifier,
    /// Capacities of the tables.
    pub(crate) capacities: Capacities,
    coverage: Coverage,
    figures: Figures,
    updated_ms: Option<u64>,
    rate_start: RateStart,
    /// Counters at the newest warning, and its time.
    warned: (DetectorCounters, u64),
}

impl Monitor {
    /// A monitor of the pipeline alone; the caller adds what a live run has.
    pub(crate) fn new(report: SharedReport, capacities: Capacities) -> Self {
        Self {
            shared: None,
            report,
            controller: None,
            cpu_percent: 0,
            notifier: Notifier::default(),
            capacities,
            coverage: Coverage::default(),
            figures: Figures { sampled_permille: 1000, ..Figures::default() },
            updated_ms: None,
            rate_start: RateStart::default(),
            warned: Default::default(),
        }
    }

    /// Takes the pipeline's counters.
    pub(crate) fn update(&mut self, progress: &PacketCounters, scoring: &ScoringCounters, now_ms: u64) -> Figures {
        self.notifier.alive(now_ms);
        if self.updated_ms.is_some_and(|updated_ms| now_ms.saturating_sub(updated_ms) < UPDATE_MS) {
            return self.figures;
        }
        self.updated_ms = Some(now_ms);
        self.figures.clock_set = clock::wall_s().is_some();
        if let Some(shared) = self.shared.clone() {
            self.check_interfaces(&shared, now_ms);
        }
        self.update_report(progress, scoring, now_ms);
        self.warn(progress.detector(&scoring.tracker), now_ms);
        self.figures
    }

    /// Logs that the detector cannot report every attack; at most once a minute.
    fn warn(&mut self, counters: DetectorCounters, now_ms: u64) {
        let (before, warned_ms) = self.warned;
        let grew = counters.episodes_held_back > before.episodes_held_back
            || counters.flooding_sources > before.flooding_sources;
        if grew && (warned_ms == 0 || now_ms.saturating_sub(warned_ms) >= WARNING_MS) {
            self.warned = (counters, now_ms.max(1));
            tracing::warn!(
                episodes_held_back = counters.episodes_held_back,
                episodes_replaced = counters.episodes_replaced,
                flooding_sources = counters.flooding_sources,
                hosts_turned_away = counters.hosts_turned_away,
                "too many hosts to report or to remember: sources are forged, or many hosts attack at once"
            );
        }
    }

    fn check_interfaces(&mut self, shared: &Shared, now_ms: u64) {
        let interfaces = shared.interfaces();
        let (to_wall, clock_steps) = shared.clock();
        let sum = |of: fn(&lapwing_live::InterfaceReport) -> u64| interfaces.iter().map(of).sum::<u64>();
        let totals = Totals {
            seen_octets: sum(|interface| interface.octets),
            moved_octets: (!interfaces.iter().any(|interface| interface.filtered))
                .then(|| sum(|interface| interface.moved_octets)),
            packets: sum(|interface| interface.packets),
            dropped: sum(|interface| interface.dropped),
        };
        let absent = interfaces.iter().filter(|interface| interface.link == Link::Absent);
        let changed = self.coverage.note_absent(absent.map(|interface| interface.name.as_str()));
        if self.coverage.note(now_ms, totals) || changed {
            match self.coverage.degraded() {
                Some(reason) => tracing::warn!(%reason, "coverage degraded"),
                None => tracing::info!("coverage is good again"),
            }
        }
        if let Some(controller) = &mut self.controller {
            let changed = controller.update(now_ms, totals.dropped, rights::cpu_ms(), self.cpu_percent);
            if let Some(permille) = changed {
                tracing::warn!(permille, "load shedding: share of metered flows changed");
            }
            self.figures.sampled_permille = controller.permille();
        }
        self.figures.kernel_drops = totals.dropped;
        self.figures.damaged_blocks = sum(|interface| interface.damaged_blocks);
        self.figures.seen_octets = totals.seen_octets;
        self.figures.moved_octets = totals.moved_octets.unwrap_or(0);
        self.figures.degraded = self.coverage.degraded().is_some();
        self.figures.to_wall = to_wall;
        let mut report = self.report.edit();
        report.interfaces = interfaces.into_iter().map(Into::into).collect();
        report.clock_steps = clock_steps;
        report.coverage_degraded = self.coverage.degraded().map(|reason| reason.to_string());
    }

    fn update_report(&mut self, progress: &PacketCounters, scoring: &ScoringCounters, now_ms: u64) {
        let packets = progress.flows.packets + progress.refusals.total();
        let mut report = self.report.edit();
        let start = self.rate_start;
        let span_ms = now_ms.saturating_sub(start.at_ms);
        if span_ms >= RATE_MS {
            let rate = |now: u64, from: u64| now.saturating_sub(from) as f64 * 1000.0 / span_ms as f64;
            report.packets_per_second = rate(packets, start.packets);
            report.octets_per_second = rate(progress.flows.network_octets, start.octets);
            report.peak_memory_bytes = peak_memory_bytes();
            self.rate_start = RateStart { at_ms: now_ms, packets, octets: progress.flows.network_octets };
        }
        report.uptime_s = now_ms / 1000;
        report.packets = packets;
        report.refused = Reasons::new(&progress.refusals);
        report.irregular = Reasons::new(&progress.irregular);
        report.fragments_without_first = progress.fragments_without_first;
        report.fragment_evictions = progress.fragment_evictions;
        report.concealment_held_back = scoring.concealment.held_back;
        let fill =
            |held: usize, capacity: usize, evicted| Fill { held: held as u64, capacity: capacity as u64, evicted };
        report.flows = fill(progress.held_flows, self.capacities.flows, progress.flows.evictions);
        report.hosts = fill(progress.held_hosts, self.capacities.hosts, progress.host_evictions);
        report.irregular_hosts = fill(progress.irregular_hosts, IRREGULAR_HOSTS, progress.irregular_evictions);
        report.records = progress.flows.records;
        report.scored = scoring.scored;
        report.unscored = scoring.engine_faults + progress.left_out;
        report.local_correction_nats = scoring.correction_nats;
        let habits = scoring.habits;
        report.learning_left_s = habits.learning_left_s;
        (report.services, report.habits) = (habits.services, habits.habits);
        report.habits_turned_away = habits.turned_away;
        let has_settled = scoring.scored >= LEARNED_ROWS && habits.learning_left_s == 0;
        report.learning = report.release > 0 && !has_settled;
        report.alerts = scoring.tracker.episodes + scoring.concealment.episodes;
        let detector = progress.detector(&scoring.tracker);
        report.episodes_held_back = detector.episodes_held_back;
        report.episodes_replaced = detector.episodes_replaced;
        report.episodes_folded = detector.episodes_folded;
        report.evidence_evictions = scoring.tracker.evictions;
        report.hosts_turned_away = detector.hosts_turned_away;
        report.flooding_sources = detector.flooding_sources;
        report.initiators_forgotten = detector.initiators_forgotten;
        report.sampled_permille = self.figures.sampled_permille;
        report.shed = self.controller.as_ref().map_or(0, Controller::shed);
        report.clock_set = self.figures.clock_set;
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.notifier.stopping();
    }
}
