//! The report → lines for a person.

use crate::output::alerts::{is_test, state_name};
use crate::report::{Fill, Report, ResponseCounts};
use lapwing_shared::enrolment::TimeLeft;
use lapwing_shared::messages::Alert;
use lapwing_shared::units::Utc;
use std::fmt::{self, Display, Formatter};

/// Findings shown for each alert.
const FINDINGS: usize = 3;

/// Displays the whole report.
pub(crate) struct Text<'a>(pub(crate) &'a Report);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        capture(report, f)?;
        tables(report, f)?;
        scoring(report, f)?;
        delivery(report, f)?;
        writeln!(f, "alerts  {} episodes, response {}", report.alerts, report.response)?;
        limits(report, f)?;
        response(report, f)?;
        report.last_alerts.iter().try_for_each(|recent| alert(recent, f))
    }
}

fn capture(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    let peak_mb = report.peak_memory_bytes as f64 / 1e6;
    writeln!(f, "lapwing-agent {}, up {} s, peak memory {peak_mb:.1} MB", report.agent_version, report.uptime_s)?;
    for interface in &report.interfaces {
        writeln!(
            f,
            "  {:<15} {:<6} {} packets, {} of {} octets seen, {} packets dropped, {} link losses",
            interface.name,
            interface.link,
            interface.packets,
            interface.octets,
            interface.moved_octets,
            interface.dropped,
            interface.losses
        )?;
        if interface.damaged_blocks > 0 {
            let (name, blocks) = (&interface.name, interface.damaged_blocks);
            writeln!(
                f,
                "DAMAGED BLOCKS: {blocks} of the ring of {name} were inconsistent; the rest of each was skipped"
            )?;
        }
    }
    match &report.coverage_degraded {
        Some(reason) => writeln!(f, "COVERAGE DEGRADED: {reason}")?,
        None => writeln!(f, "coverage good")?,
    }
    if report.sampled_permille < 1000 {
        let percent = f64::from(report.sampled_permille) / 10.0;
        writeln!(f, "LOAD SHEDDING: {percent} % of the flows are metered, {} packets skipped", report.shed)?;
    }
    let bits = report.octets_per_second * 8.0 / 1e6;
    writeln!(f, "rate    {:.0} packets/s, {bits:.2} Mbit/s", report.packets_per_second)
}

fn tables(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    for (name, counts) in [("rejected packets", &report.refused), ("irregular packets", &report.irregular)] {
        let counts: Vec<String> = counts.list().iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        writeln!(f, "{name}: {}", if counts.is_empty() { "none".into() } else { counts.join(", ") })?;
    }
    if report.concealment_held_back > 0 {
        writeln!(f, "TOO MANY HOSTS HIDE PORTS: {} notices without an alert", report.concealment_held_back)?;
    }
    for (name, Fill { held, capacity, evicted }) in [("flows", report.flows), ("hosts", report.hosts)] {
        let percent = (held * 100).checked_div(capacity).unwrap_or(0);
        writeln!(f, "{name}   {held} of {capacity} ({percent} %), {evicted} evicted")?;
    }
    Ok(())
}

fn scoring(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    match report.release {
        0 => writeln!(f, "release none: records are not scored")?,
        release => {
            let trial = if report.on_trial { ", on trial" } else { "" };
            let learning = if report.learning { ", still learning this site's normal traffic" } else { "" };
            let nats = report.local_correction_nats;
            writeln!(f, "release {release}{trial} on {}, local correction {nats:.2} nats{learning}", report.engine)?;
        }
    }
    if report.services > 0 {
        let (habits, services) = (report.habits, report.services);
        write!(f, "habits  {habits} of {services} services of hosts are unusual elsewhere, but usual here")?;
        match report.learning_left_s.div_ceil(3600) {
            0 => writeln!(f)?,
            hours => writeln!(f, "; new ones are learned fast for another {hours} h")?,
        }
    }
    writeln!(f, "scored  {} of {} records, {} not scored", report.scored, report.records, report.unscored)
}

fn delivery(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "broker  {}", report.broker())?;
    if !report.enrolment.is_empty() {
        writeln!(f, "NOT ENROLLED: {}", report.enrolment)?;
    }
    let (alerts, others) = (report.outbox_dropped_alerts, report.outbox_dropped_telemetry);
    writeln!(f, "outbox  {} waiting, {alerts} alerts and {others} other messages dropped", report.outbox_waiting)?;
    if !["", "plain"].contains(&report.addresses.as_str()) {
        writeln!(f, "privacy published addresses: {}", report.addresses)?;
    }
    if report.outbox_left_out > 0 {
        let count = report.outbox_left_out;
        writeln!(
            f,
            "outbox  {count} messages or parts of them left out: the broker's packet limit is too small for them"
        )?;
    }
    if report.rejected_acknowledgements > 0 {
        writeln!(f, "outbox  {} acknowledgements rejected: not from the trainer", report.rejected_acknowledgements)?;
    }
    if report.rejected_manifests > 0 {
        writeln!(f, "release {} manifests rejected", report.rejected_manifests)?;
    }
    if report.root_version > 0 || report.rejected_roots > 0 {
        writeln!(f, "keys    root document {}, {} rejected", report.root, report.rejected_roots)?;
    }
    if !report.updates.is_empty() {
        let (rollouts, assignments) = (report.rejected_rollouts, report.rejected_assignments);
        writeln!(f, "updates {}, {rollouts} rollouts and {assignments} assignments rejected", report.updates)?;
    }
    let (octets, syncs) = (report.disk_octets, report.disk_syncs);
    writeln!(f, "disk    {octets} bytes written, {syncs} syncs, {} errors", report.disk_errors)?;
    if let Some(error) = &report.disk_error {
        writeln!(f, "CANNOT WRITE TO THE STATE FOLDER: {error}; waiting messages are lost if the agent stops now")?;
    }
    if !report.clock_set {
        writeln!(f, "CLOCK NOT SET: timestamps are lower bounds until the clock is set, then corrected")?;
    }
    certificate(report, f)?;
    writeln!(f, "sandbox {}", report.confinement.join("; "))
}

/// The end of the certificate, in capitals if the agent should have renewed it long before.
fn certificate(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    let Some(until_s) = report.certificate_until_s else { return Ok(()) };
    let until = Utc(until_s);
    match report.certificate_left_s {
        0 => writeln!(f, "CERTIFICATE EXPIRED at {until} UTC: the agent renews it at the enrolment port"),
        left_s if report.certificate_ends_soon => {
            let left = TimeLeft(left_s);
            writeln!(f, "CERTIFICATE EXPIRES in {left}, at {until} UTC: it was not renewed; see the agent's log")
        }
        _ => writeln!(f, "certificate valid until {until} UTC"),
    }
}

/// What the detector could not keep or report; most agents have none of it.
fn limits(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    if report.episodes_held_back > 0 {
        let flows = report.episodes_held_back;
        writeln!(f, "TOO MANY TO REPORT: {flows} flows opened no alert episode, because stronger ones occupied all")?;
    }
    if report.flooding_sources > 0 {
        let sources = report.flooding_sources;
        writeln!(f, "FLOOD OF NEW SOURCES: {sources} hosts sent a first flow at a rate far above the normal one")?;
    }
    let counters = [
        (report.episodes_replaced, "episodes replaced by stronger ones"),
        (report.episodes_folded, "targets folded into the episode of their source"),
        (report.evidence_evictions, "hosts with evidence evicted"),
        (report.hosts_turned_away, "flows of new hosts turned away"),
        (report.habits_turned_away, "flows of services not learned, because the table of habits is full"),
        (report.initiators_forgotten, "initiators of idle connections forgotten"),
    ];
    let parts: Vec<String> =
        counters.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { Ok(()) } else { writeln!(f, "limits  {}", parts.join(", ")) }
}

fn response(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    let ResponseCounts { blocked, dry_run, spared, unproven, failed, left_out } = report.response_counts;
    if ["", "off"].contains(&report.response.as_str()) {
        return Ok(());
    }
    writeln!(
        f,
        "  {blocked} blocked, {dry_run} in a dry run, {spared} never blocked, {unproven} possibly forged, {failed} failed, \
         {left_out} dropped"
    )
}

fn alert(alert: &Alert, f: &mut Formatter<'_>) -> fmt::Result {
    if is_test(alert) {
        return writeln!(f, "  TEST alert at {} UTC", Utc(alert.at.as_secs()));
    }
    writeln!(f, "  {}: {}", state_name(alert.state), alert.summary())?;
    alert.reasons.iter().take(FINDINGS).try_for_each(|reason| writeln!(f, "      {}", reason.finding()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::alerts::test_alert;
    use crate::report::InterfaceStatus;
    use lapwing_shared::messages::Reason;
    use lapwing_shared::units::{Address, Timestamp};

    #[test]
    fn the_end_of_a_certificate_is_in_capitals_only_if_it_should_have_been_renewed() {
        let line = |certificate_left_s, certificate_ends_soon| {
            let certificate_until_s = Some(1_741_276_811);
            Text(&Report { certificate_until_s, certificate_left_s, certificate_ends_soon, ..Report::default() })
                .to_string()
        };
        assert!(line(20 * 86_400, false).contains("\ncertificate valid until 2025-03-06"));
        assert!(line(100_000, true).contains("\nCERTIFICATE EXPIRES in 1 day, at 2025-03-06"));
        assert!(line(0, true).contains("\nCERTIFICATE EXPIRED at 2025-03-06"));
    }

    #[test]
    fn an_alert_is_a_sentence_with_its_findings_below() {
        let mut alert = test_alert(Timestamp::from_secs(1_741_276_811), 1);
        let test = Report { last_alerts: vec![alert.clone()], ..Report::default() };
        assert!(Text(&test).to_string().contains("\n  TEST alert at 2025-03-06 16:00:11 UTC\n"));
        (alert.release, alert.resembles, alert.host, alert.flows) = (3, None, Address::from_v4([10, 0, 0, 9]), 12);
        let reason = Reason { feature: 2, value: 12.0, normal_low: 0.0, normal_high: 4.0, share_permille: 900 };
        alert.reasons.push(reason).unwrap();
        let text = Text(&Report { last_alerts: vec![alert], ..Report::default() }).to_string();
        assert!(text.contains("\n  opened: 10.0.0.9 started 12 flows since 2025-03-06 16:00:11 UTC"), "{text}");
        assert!(text.contains(&format!("\n      {}\n", reason.finding())), "{text}");
    }

    #[test]
    fn each_degraded_state_has_a_line_of_its_own() {
        let report = Report {
            coverage_degraded: Some("offload".into()),
            sampled_permille: 500,
            disk_error: Some("no space".into()),
            episodes_held_back: 7,
            flooding_sources: 900,
            hosts_turned_away: 3,
            interfaces: vec![InterfaceStatus { name: "lan".into(), damaged_blocks: 2, ..Default::default() }],
            ..Report::default()
        };
        let text = Text(&report).to_string();
        let lines = [
            "COVERAGE DEGRADED: offload",
            "LOAD SHEDDING: 50 %",
            "CANNOT WRITE",
            "CLOCK NOT SET",
            "release none",
            "TOO MANY TO REPORT: 7 flows",
            "FLOOD OF NEW SOURCES: 900 hosts",
            "limits  3 flows of new hosts turned away",
            "DAMAGED BLOCKS: 2 of the ring of lan",
        ];
        for line in lines {
            assert_eq!(text.lines().filter(|found| found.starts_with(line)).count(), 1, "{line}: {text}");
        }
    }

    #[test]
    fn what_the_broker_refuses_is_in_the_line_about_the_broker() {
        let refusals = vec![
            "messages on a (not authorized, 0x87)".to_owned(),
            "QoS 1: this broker confirms no delivery".to_owned(),
        ];
        let report = Report {
            connection: "connected".into(),
            broker_refusals: refusals,
            outbox_left_out: 3,
            rejected_manifests: 5,
            rejected_acknowledgements: 6,
            addresses: "pseudonym, key 3f9a01c2".into(),
            ..Report::default()
        };
        let text = Text(&report).to_string();
        let named = Report { broker_url: "mqtt://b:1883".into(), ..report.clone() };
        assert!(
            Text(&named).to_string().contains("\nbroker  connected to mqtt://b:1883, but it refuses messages on a")
        );
        let line = "\nbroker  connected, but it refuses messages on a (not authorized, 0x87); QoS 1: ";
        assert!(text.contains(line) && text.contains("\noutbox  3 messages"), "{text}");
        assert!(text.contains("\nrelease 5 manifests rejected\n"), "{text}");
        assert!(text.contains("\noutbox  6 acknowledgements rejected: not from the trainer\n"), "{text}");
        assert!(text.contains("\nprivacy published addresses: pseudonym, key 3f9a01c2\n"), "{text}");
        assert!(!Text(&Report { addresses: "plain".into(), ..report }).to_string().contains("privacy"));
    }
}
