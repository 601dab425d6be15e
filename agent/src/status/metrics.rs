//! The report → Prometheus text (exposition format 0.0.4).

use crate::report::Report;
use std::fmt::Write;

pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    let counters = [
        ("packets_total", report.packets as f64),
        ("records_total", report.records as f64),
        ("scored_total", report.scored as f64),
        ("unscored_total", report.unscored as f64),
        ("alerts_total", report.alerts as f64),
        ("shed_packets_total", report.shed as f64),
        ("flow_evictions_total", report.flows.evicted as f64),
        ("host_evictions_total", report.hosts.evicted as f64),
        ("irregular_host_evictions_total", report.irregular_hosts.evicted as f64),
        ("fragments_without_first_total", report.fragments_without_first as f64),
        ("fragment_evictions_total", report.fragment_evictions as f64),
        ("concealment_held_back_total", report.concealment_held_back as f64),
        ("episodes_held_back_total", report.episodes_held_back as f64),
        ("episodes_replaced_total", report.episodes_replaced as f64),
        ("episodes_folded_total", report.episodes_folded as f64),
        ("evidence_evictions_total", report.evidence_evictions as f64),
        ("hosts_turned_away_total", report.hosts_turned_away as f64),
        ("habits_turned_away_total", report.habits_turned_away as f64),
        ("flooding_sources_total", report.flooding_sources as f64),
        ("initiators_forgotten_total", report.initiators_forgotten as f64),
        ("clock_steps_total", report.clock_steps as f64),
        ("disk_written_octets_total", report.disk_octets as f64),
        ("disk_syncs_total", report.disk_syncs as f64),
        ("disk_errors_total", report.disk_errors as f64),
        ("outbox_dropped_alerts_total", report.outbox_dropped_alerts as f64),
        ("outbox_dropped_telemetry_total", report.outbox_dropped_telemetry as f64),
        ("outbox_left_out_total", report.outbox_left_out as f64),
        ("broker_refused_publications_total", report.refused_publications as f64),
        ("broker_refused_subscriptions_total", report.refused_subscriptions as f64),
        ("rejected_manifests_total", report.rejected_manifests as f64),
        ("rejected_acknowledgements_total", report.rejected_acknowledgements as f64),
        ("rejected_root_documents_total", report.rejected_roots as f64),
        ("rejected_rollouts_total", report.rejected_rollouts as f64),
        ("rejected_assignments_total", report.rejected_assignments as f64),
        ("response_blocked_total", report.response_counts.blocked as f64),
        ("response_dry_run_total", report.response_counts.dry_run as f64),
        ("response_spared_total", report.response_counts.spared as f64),
        ("response_unproven_total", report.response_counts.unproven as f64),
        ("response_failed_total", report.response_counts.failed as f64),
        ("response_left_out_total", report.response_counts.left_out as f64),
    ];
    for (kind, figures) in [("counter", &counters[..]), ("gauge", &gauges(report)[..])] {
        for (name, value) in figures {
            // Writing to a string does not fail.
            let _ = writeln!(out, "# TYPE lapwing_{name} {kind}\nlapwing_{name} {value}");
        }
    }
    labelled(report, &mut out);
    out
}

fn gauges(report: &Report) -> [(&'static str, f64); 16] {
    [
        ("flows", report.flows.held as f64),
        ("hosts", report.hosts.held as f64),
        ("services", f64::from(report.services)),
        ("habits", f64::from(report.habits)),
        ("release", report.release as f64),
        ("root_document", report.root_version as f64),
        ("outbox_waiting", f64::from(report.outbox_waiting)),
        ("uptime_seconds", report.uptime_s as f64),
        // 0 without one.
        ("rollout_serial", report.rollout.map_or(0, |rollout| rollout.serial) as f64),
        ("assignment_serial", report.assignment as f64),
        ("alerts_per_day_budget", f64::from(report.alerts_per_day)),
        ("sampled_ratio", f64::from(report.sampled_permille) / 1000.0),
        ("coverage_degraded", f64::from(u8::from(report.coverage_degraded.is_some()))),
        ("connected", f64::from(u8::from(report.connection == "connected"))),
        ("peak_memory_bytes", report.peak_memory_bytes as f64),
        // 0 without a certificate.
        ("certificate_until_seconds", report.certificate_until_s.unwrap_or(0) as f64),
    ]
}

/// Counters with labels: refused and irregular packets by reason, and per interface.
fn labelled(report: &Report, out: &mut String) {
    for (name, counts) in [("refused", &report.refused), ("irregular", &report.irregular)] {
        let _ = writeln!(out, "# TYPE lapwing_{name}_total counter");
        for (reason, count) in counts.list() {
            let _ = writeln!(out, "lapwing_{name}_total{{reason=\"{reason}\"}} {count}");
        }
    }
    let names = ["packets", "octets", "dropped", "moved_octets", "damaged_blocks"];
    for (index, name) in names.into_iter().enumerate() {
        let _ = writeln!(out, "# TYPE lapwing_interface_{name}_total counter");
        for interface in &report.interfaces {
            let value = [
                interface.packets,
                interface.octets,
                interface.dropped,
                interface.moved_octets,
                interface.damaged_blocks,
            ][index];
            let label = interface.name.replace(['"', '\\', '\n'], "_");
            let _ = writeln!(out, "lapwing_interface_{name}_total{{interface=\"{label}\"}} {value}");
        }
    }
}
