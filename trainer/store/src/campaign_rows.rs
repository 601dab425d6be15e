//! Statements of campaigns, and their rows.

use crate::cell::Cell;
use crate::fields::{Fields, decode_health, decode_status};
use crate::highest_version::{ReportedVersion, confirmed};
use crate::query::Dialect;
use crate::rows::StoredUpdate;
use crate::traits::{AgentAlertHour, CampaignAgent, GateResult, GroupAgent, StoredReleaseHealth, StoredRollout};
use lapwing_fleet::campaign::gates::{Finding, Gate, Verdict};
use lapwing_fleet::campaign::{CampaignState, Transition, WaveState};
use lapwing_shared::messages::{DeviceHealth, ReleaseHealth};

/// Ended campaigns of a group to keep; older ones are deleted with their transitions and results.
pub(crate) const CAMPAIGNS_KEPT: i64 = 1_000;
/// Transitions of a campaign to keep.
pub(crate) const TRANSITIONS_KEPT: i64 = 1_000;
/// Results of each of the seven gates of a campaign to keep: at most 10,000 together.
pub(crate) const RESULTS_KEPT: i64 = 10_000 / Gate::ALL.len() as i64;
/// Rollouts of a group to keep.
pub(crate) const ROLLOUTS_KEPT: i64 = 1_000;
/// A result of a gate gets another row after this time, seconds.
pub(crate) const RESULT_S: i64 = 3_600;

const COLUMNS: &str = "id, revision, group_name, made_s, changed_s, body";

pub(crate) fn select_campaigns(condition: &str) -> String {
    format!("SELECT {COLUMNS} FROM campaigns WHERE {condition}")
}

pub(crate) const OPEN: &str = "group_name = ?1 AND is_open = 1";
pub(crate) const BY_ID: &str = "id = ?1";
pub(crate) const NEWEST: &str = "(CAST(?1 AS TEXT) IS NULL OR group_name = ?1) ORDER BY id DESC LIMIT ?2";

/// Group, version, upper bound of the number, 1 for open ones only; at most this many.
pub(crate) const PAGE: &str = "(CAST(?1 AS TEXT) IS NULL OR group_name = ?1) AND (CAST(?2 AS BIGINT) IS NULL OR version = \
    ?2) AND (CAST(?3 AS BIGINT) IS NULL OR id < ?3) AND (CAST(?4 AS BIGINT) = 0 OR is_open = 1) ORDER BY id DESC LIMIT ?5";

pub(crate) const ADD: &str = "INSERT INTO campaigns (group_name, version, state, is_open, revision, made_s, changed_s, \
    body) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5, ?6) RETURNING id";
pub(crate) const SAVE: &str = "UPDATE campaigns SET version = ?3, state = ?4, is_open = ?5, changed_s = ?6, body = ?7, \
    revision = revision + 1 WHERE id = ?1 AND revision = ?2";
pub(crate) const ENDED: &str = "SELECT id FROM campaigns WHERE group_name = ?1 AND is_open = 0 AND id NOT IN \
    (SELECT id FROM campaigns WHERE group_name = ?1 AND is_open = 0 ORDER BY id DESC LIMIT ?2) ORDER BY id LIMIT 100";

pub(crate) const NEXT_TRANSITION: &str =
    "SELECT coalesce(max(number), 0) + 1 FROM campaign_transitions WHERE campaign = ?1";
pub(crate) const ADD_TRANSITION: &str = "INSERT INTO campaign_transitions (campaign, number, at_s, state, wave, \
    wave_state, who, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(crate) const FORGET_TRANSITIONS: &str = "DELETE FROM campaign_transitions WHERE campaign = ?1 AND number <= ?2";
pub(crate) const TRANSITIONS: &str = "SELECT at_s, state, wave, wave_state, who, why FROM campaign_transitions \
    WHERE campaign = ?1 ORDER BY number DESC LIMIT ?2";

const RESULT: &str = "gate, wave, since_s, at_s, verdict, missing, numerator, denominator, control_numerator, \
    control_denominator, threshold, text";
/// The newest result of a gate, after its number.
pub(crate) fn newest_result() -> String {
    format!("SELECT {RESULT}, number FROM gate_results WHERE campaign = ?1 AND gate = ?2 ORDER BY number DESC LIMIT 1")
}
pub(crate) fn put_result() -> String {
    format!(
        "INSERT INTO gate_results (campaign, number, {RESULT}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
         ?12, ?13, ?14) ON CONFLICT (campaign, gate, number) DO UPDATE SET at_s = ?6, missing = ?8, numerator = ?9, \
         denominator = ?10, control_numerator = ?11, control_denominator = ?12, threshold = ?13, text = ?14"
    )
}
pub(crate) const FORGET_RESULTS: &str = "DELETE FROM gate_results WHERE campaign = ?1 AND gate = ?2 AND number <= ?3";
pub(crate) fn results() -> String {
    format!("SELECT {RESULT} FROM gate_results WHERE campaign = ?1 ORDER BY at_s DESC, number DESC, gate LIMIT ?2")
}

const ROLLOUT: &str = "group_name, serial, body, issued_s, campaign";
pub(crate) fn newest_rollout() -> String {
    format!("SELECT {ROLLOUT} FROM rollouts WHERE group_name = ?1 ORDER BY serial DESC LIMIT 1")
}
pub(crate) const ADD_ROLLOUT: &str =
    "INSERT INTO rollouts (group_name, serial, body, issued_s, campaign) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(crate) const FORGET_ROLLOUTS: &str = "DELETE FROM rollouts WHERE group_name = ?1 AND serial < \
    (SELECT min(serial) FROM (SELECT serial FROM rollouts WHERE group_name = ?1 ORDER BY serial DESC LIMIT ?2) AS newest)";

/// Agents report again what the trainer has not confirmed, so the newest report is the one with the highest number.
pub(crate) const STEPS: &str = "SELECT agent, name, step, reason, received_s FROM (SELECT u.agent, agents.name, u.step, \
    u.reason, u.received_s, row_number() OVER (PARTITION BY u.agent ORDER BY u.run DESC, u.number DESC, u.id DESC) AS place \
    FROM updates AS u JOIN agents ON agents.id = u.agent WHERE u.release = ?2 AND u.received_s >= ?3 \
    AND agents.group_name = ?1) AS steps WHERE place = 1 ORDER BY agent";
/// Agent and hour of each episode of the agents of group ?1 that began at ?2 or later. The index by agent and start has these
/// columns, in either state; SQLite would choose the one by start and then read every episode.
pub(crate) fn alert_hours(dialect: Dialect) -> String {
    let episodes = dialect.table("episodes AS e", "episodes_of_agent_by_start");
    format!(
        "SELECT e.agent, e.since_ns / 3600000000000 FROM agents JOIN {episodes} ON e.agent = agents.id \
         AND e.is_open IN (FALSE, TRUE) AND e.since_ns >= ?2 WHERE agents.group_name = ?1"
    )
}
pub(crate) const RELEASE_HEALTH: &str = "SELECT agents.id, agents.name, agents.last_seen_s, agents.health, \
    h.before_version, h.before_cpu_ms, h.before_packets, h.degraded_since_s, h.first_s FROM agents \
    JOIN release_health AS h ON h.agent = agents.id WHERE agents.group_name = ?1 ORDER BY agents.id";
/// As [`RELEASE_HEALTH`], then what else a campaign needs of each agent that reports group ?1.
pub(crate) const GROUP_AGENTS: &str = "SELECT agents.id, agents.name, agents.last_seen_s, agents.health, \
    h.before_version, h.before_cpu_ms, h.before_packets, h.degraded_since_s, h.first_s, agents.status, agents.online, \
    agents.update_release, agents.update_step, agents.update_reason, agents.update_s, agents.group_name FROM agents \
    LEFT JOIN release_health AS h ON h.agent = agents.id WHERE agents.reported_group = ?1 AND agents.status IS NOT NULL \
    ORDER BY agents.name";

/// The highest version of the store's own tables.
pub(crate) const STORED_VERSION: &str = "SELECT max(version) FROM \
    (SELECT max(version) AS version FROM releases WHERE group_name = ?1 UNION ALL \
    SELECT max(version) FROM held_releases WHERE group_name = ?1 UNION ALL \
    SELECT max(version) FROM campaigns WHERE group_name = ?1) AS versions";
/// The highest version that each agent of a group reported, and why it refused the last one.
pub(crate) const REPORTED_VERSIONS: &str = "SELECT name, max(version), max(reason) FROM \
    (SELECT name, release AS version, CASE WHEN update_step = 'refused' THEN update_reason END AS reason FROM agents \
    WHERE group_name = ?1 UNION ALL \
    SELECT name, update_release, NULL FROM agents WHERE group_name = ?1 AND update_release IS NOT NULL UNION ALL \
    SELECT agents.name, u.version, NULL FROM (SELECT agent, max(release) AS version FROM updates GROUP BY agent) AS u \
    JOIN agents ON agents.id = u.agent WHERE agents.group_name = ?1 UNION ALL \
    SELECT agents.name, h.version, NULL FROM release_health AS h JOIN agents ON agents.id = h.agent \
    WHERE agents.group_name = ?1) AS reports GROUP BY name ORDER BY name";

/// A campaign whose body is not decoded yet.
pub(crate) struct CampaignRow {
    pub(crate) id: i64,
    pub(crate) revision: u64,
    pub(crate) group: String,
    pub(crate) made_s: u64,
    pub(crate) changed_s: u64,
    pub(crate) body: String,
}

pub(crate) fn campaign<R: Fields>(row: &R) -> Result<CampaignRow, R::Error> {
    Ok(CampaignRow {
        id: row.integer(0)?,
        revision: row.unsigned(1)?,
        group: row.text(2)?,
        made_s: row.unsigned(3)?,
        changed_s: row.unsigned(4)?,
        body: row.text(5)?,
    })
}

/// A row of [`TRANSITIONS`].
pub(crate) fn transition<R: Fields>(row: &R) -> Result<Transition, R::Error> {
    let wave = match row.integer_or_null(2)? {
        None => None,
        Some(_) => {
            let state = WaveState::parse(&row.text(3)?).ok_or_else(|| R::invalid(3, "the state of a wave"))?;
            Some((row.small(2)?, state))
        }
    };
    Ok(Transition {
        at_s: row.unsigned(0)?,
        state: CampaignState::parse(&row.text(1)?).ok_or_else(|| R::invalid(1, "the state of a campaign"))?,
        wave,
        who: row.text_or_null(4)?,
        why: row.text(5)?,
    })
}

/// A row of [`results`].
pub(crate) fn result<R: Fields>(row: &R) -> Result<GateResult, R::Error> {
    let verdict = match row.text(4)?.as_str() {
        PASS => Verdict::Pass,
        FAIL => Verdict::Fail,
        _ => Verdict::Undecided(row.text(5)?),
    };
    let finding = Finding {
        gate: Gate::parse(&row.text(0)?).ok_or_else(|| R::invalid(0, "the name of a gate"))?,
        verdict,
        numerator: row.real(6)?,
        denominator: row.real(7)?,
        control_numerator: row.real(8)?,
        control_denominator: row.real(9)?,
        threshold: row.real(10)?,
        text: row.text(11)?,
    };
    Ok(GateResult { wave: row.small(1)?, since_s: row.unsigned(2)?, at_s: row.unsigned(3)?, finding })
}

const PASS: &str = "pass";
const FAIL: &str = "fail";

/// Name of a verdict, and what is missing.
fn verdict(verdict: &Verdict) -> (&'static str, &str) {
    match verdict {
        Verdict::Pass => (PASS, ""),
        Verdict::Fail => (FAIL, ""),
        Verdict::Undecided(missing) => ("undecided", missing),
    }
}

/// The result that a finding becomes.
pub(crate) fn result_of(wave: usize, finding: &Finding, since_s: u64, at_s: u64) -> GateResult {
    // Databases differ in what they do with NaN.
    let finite = |number: f64| if number.is_finite() { number } else { 0.0 };
    let finding = Finding {
        numerator: finite(finding.numerator),
        denominator: finite(finding.denominator),
        control_numerator: finite(finding.control_numerator),
        control_denominator: finite(finding.control_denominator),
        threshold: finite(finding.threshold),
        ..finding.clone()
    };
    GateResult { wave, since_s, at_s, finding }
}

/// Values of [`put_result`].
pub(crate) fn result_values(campaign: i64, number: i64, result: &GateResult) -> Vec<Cell> {
    let finding = &result.finding;
    let (name, missing) = verdict(&finding.verdict);
    vec![
        Cell::Integer(campaign),
        Cell::Integer(number),
        Cell::text(finding.gate.as_str()),
        Cell::Integer(i64::try_from(result.wave).unwrap_or(i64::MAX)),
        Cell::Integer(result.since_s.cast_signed()),
        Cell::Integer(result.at_s.cast_signed()),
        Cell::text(name),
        Cell::text(missing),
        Cell::Real(finding.numerator),
        Cell::Real(finding.denominator),
        Cell::Real(finding.control_numerator),
        Cell::Real(finding.control_denominator),
        Cell::Real(finding.threshold),
        Cell::text(&finding.text),
    ]
}

/// A row of [`newest_rollout`].
pub(crate) fn rollout<R: Fields>(row: &R) -> Result<StoredRollout, R::Error> {
    Ok(StoredRollout {
        group: row.text(0)?,
        serial: row.unsigned(1)?,
        body: row.bytes(2)?,
        issued_s: row.unsigned(3)?,
        campaign: row.integer(4)?,
    })
}

/// A row of [`STEPS`].
pub(crate) fn step<R: Fields>(row: &R) -> Result<CampaignAgent, R::Error> {
    Ok(CampaignAgent {
        agent: row.integer(0)?,
        name: row.text(1)?,
        step: row.text(2)?,
        reason: row.text_or_null(3)?,
        at_s: row.unsigned(4)?,
    })
}

/// Episodes by agent and hour, of rows of [`alert_hours`]. A sort here takes a tenth of the time of the databases' grouping.
pub(crate) fn count_hours(mut rows: Vec<(i64, i64)>) -> Vec<AgentAlertHour> {
    rows.sort_unstable();
    let same = rows.chunk_by(|one, next| one == next);
    let hours = same.filter_map(|same| {
        let (agent, hour) = *same.first()?;
        Some(AgentAlertHour {
            agent,
            hour: hour.cast_unsigned(),
            episodes: u32::try_from(same.len()).unwrap_or(u32::MAX),
        })
    });
    hours.collect()
}

/// A row of [`RELEASE_HEALTH`]; `None` if the report no longer decodes.
pub(crate) fn release_health<R: Fields>(row: &R) -> Result<Option<StoredReleaseHealth>, R::Error> {
    let health = decode_health(row.bytes_or_null(3)?);
    health.map_or(Ok(None), |health| of_release(row, health.release, health.device))
}

/// A row of [`GROUP_AGENTS`] for `group`; `None` if the status no longer decodes.
pub(crate) fn group_agent<R: Fields>(row: &R, group: &str) -> Result<Option<GroupAgent>, R::Error> {
    let Some(mut status) = decode_status(row.bytes_or_null(9)?) else { return Ok(None) };
    // The stored status is the last one of a connected agent.
    status.online = row.flag(10)?;
    let health = decode_health(row.bytes_or_null(3)?);
    let update = match row.integer_or_null(11)? {
        None => None,
        Some(release) => Some(StoredUpdate {
            release: release.cast_unsigned(),
            step: row.text(12)?,
            reason: row.text_or_null(13)?,
            received_s: row.unsigned(14)?,
        }),
    };
    let trains_here = row.text(15)? == group && row.integer_or_null(8)?.is_some();
    let reported = health.as_ref().filter(|_| trains_here).map(|health| (health.release, health.device.clone()));
    Ok(Some(GroupAgent {
        name: row.text(1)?,
        last_seen_s: row.unsigned(2)?,
        is_degraded: health.is_some_and(|health| health.coverage_degraded),
        status,
        update,
        release: reported.map_or(Ok(None), |(release, device)| of_release(row, release, device))?,
    }))
}

/// What an agent reported of its release, of a row of [`RELEASE_HEALTH`]; `None` if it does not send these fields.
fn of_release<R: Fields>(
    row: &R,
    release: ReleaseHealth,
    device: DeviceHealth,
) -> Result<Option<StoredReleaseHealth>, R::Error> {
    if release == ReleaseHealth::default() {
        return Ok(None);
    }
    Ok(Some(StoredReleaseHealth {
        agent: row.integer(0)?,
        name: row.text(1)?,
        at_s: row.unsigned(2)?,
        release,
        device,
        before_version: row.unsigned(4)?,
        before_cpu_ms: row.unsigned(5)?,
        before_packets: row.unsigned(6)?,
        degraded_since_s: row.integer_or_null(7)?.map(i64::cast_unsigned),
        first_s: row.unsigned(8)?,
    }))
}

/// A row of [`STORED_VERSION`].
pub(crate) fn version<R: Fields>(row: &R) -> Result<u64, R::Error> {
    Ok(row.integer_or_null(0)?.unwrap_or(0).cast_unsigned())
}

/// A row of [`REPORTED_VERSIONS`].
pub(crate) fn reported<R: Fields>(row: &R) -> Result<ReportedVersion, R::Error> {
    let refusal = row.text_or_null(2)?;
    // Numbers beyond the signed ones are forged.
    let version = row.unsigned(1)?.min(i64::MAX.cast_unsigned());
    Ok(ReportedVersion { agent: row.text(0)?, version: version.max(confirmed(&refusal.unwrap_or_default())) })
}
