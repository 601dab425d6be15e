//! The report → Prometheus text (exposition format 0.0.4).

use super::Report;
use std::fmt::Write;

/// All figures that are numbers.
pub fn text(report: &Report) -> String {
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
        ("clock_steps_total", report.clock_steps as f64),
        ("disk_written_octets_total", report.disk_octets as f64),
        ("disk_syncs_total", report.disk_syncs as f64),
        ("disk_errors_total", report.disk_errors as f64),
        ("outbox_dropped_alerts_total", report.outbox_dropped_alerts as f64),
        ("outbox_dropped_telemetry_total", report.outbox_dropped_telemetry as f64),
    ];
    let gauges = [
        ("flows", report.flows.held as f64),
        ("hosts", report.hosts.held as f64),
        ("release", report.release as f64),
        ("outbox_waiting", f64::from(report.outbox_waiting)),
        ("uptime_seconds", report.uptime_s as f64),
        ("sampled_ratio", f64::from(report.sampled_permille) / 1000.0),
        ("coverage_degraded", f64::from(u8::from(report.coverage_degraded.is_some()))),
        ("connected", f64::from(u8::from(report.connection == "connected"))),
        ("peak_memory_bytes", report.peak_memory_bytes as f64),
    ];
    for (kind, figures) in [("counter", &counters[..]), ("gauge", &gauges[..])] {
        for (name, value) in figures {
            // Writing to a string does not fail.
            let _ = writeln!(out, "# TYPE lapwing_{name} {kind}\nlapwing_{name} {value}");
        }
    }
    let _ = writeln!(out, "# TYPE lapwing_refused_total counter");
    for (reason, count) in &report.refused {
        let _ = writeln!(out, "lapwing_refused_total{{reason=\"{reason}\"}} {count}");
    }
    let names = ["packets", "octets", "dropped", "moved_octets"];
    for (index, name) in names.into_iter().enumerate() {
        let _ = writeln!(out, "# TYPE lapwing_interface_{name}_total counter");
        for one in &report.interfaces {
            let value = [one.packets, one.octets, one.dropped, one.moved_octets][index];
            let label = one.name.replace(['"', '\\', '\n'], "_");
            let _ = writeln!(out, "lapwing_interface_{name}_total{{interface=\"{label}\"}} {value}");
        }
    }
    out
}
