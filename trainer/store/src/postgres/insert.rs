//! Alerts, sample batches and update reports of a batch → rows, by PostgreSQL's binary copy.

use super::arrivals;
use super::batch::Changes;
use super::session::{Queried, Session};
use crate::received::{Received, step_names, stored_ns};
use lapwing_shared::messages::Alert;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use std::borrow::Cow;

/// A text for a column. PostgreSQL's texts cannot contain the character 0, which a forged message may contain.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Draws row ids.
fn draw_ids(session: &mut Session, sequence: &str, count: usize) -> Queried<Vec<i64>> {
    let query = format!("SELECT nextval('{sequence}') FROM generate_series(1, $1::bigint)");
    let rows = session.query(&query, &[&i64::try_from(count).unwrap_or(i64::MAX)])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Copies rows into a table.
pub(super) fn copy<'a>(
    session: &mut Session,
    statement: &str,
    types: &[Type],
    rows: impl Iterator<Item = Vec<Box<dyn ToSql + Sync + 'a>>>,
) -> Queried<()> {
    let mut writer = BinaryCopyInWriter::new(session.copy_in(statement)?, types);
    for row in rows {
        writer.write(&row.iter().map(|value| &**value).collect::<Vec<_>>())?;
    }
    writer.finish()?;
    Ok(())
}

/// Stores alerts; returns their row ids.
pub(super) fn alerts(session: &mut Session, changes: &Changes<'_>, now_s: i64) -> Queried<Vec<i64>> {
    if changes.alerts.is_empty() {
        return Ok(Vec::new());
    }
    let ids = draw_ids(session, "alert_ids", changes.alerts.len())?;
    let statement = "COPY alerts (id, agent, run, number, episode, release, since_ns, at_ns, flows, odd_flows, received_s, \
                     state, role, service_port, peak_nats, limit_nats, host, resembles, payload) \
                     FROM STDIN (FORMAT binary)";
    let mut types = vec![Type::INT8; 11];
    types.extend([
        Type::INT2,
        Type::INT2,
        Type::INT4,
        Type::FLOAT8,
        Type::FLOAT8,
        Type::BYTEA,
        Type::TEXT,
        Type::BYTEA,
    ]);
    let rows = changes.alerts.iter().zip(&ids);
    copy(session, statement, &types, rows.map(|(alert, id)| alert_row(*id, *alert, now_s)))?;
    Ok(ids)
}

/// The columns of an alert, in the order of the statement in [`alerts`].
fn alert_row<'a>(
    id: i64,
    (agent, received, alert): (i64, &'a Received, &'a Alert),
    now_s: i64,
) -> Vec<Box<dyn ToSql + Sync + 'a>> {
    vec![
        Box::new(id),
        Box::new(agent),
        Box::new(received.run.cast_signed()),
        Box::new(received.number.cast_signed()),
        Box::new(alert.episode.cast_signed()),
        Box::new(alert.release.cast_signed()),
        Box::new(stored_ns(alert.since)),
        Box::new(stored_ns(alert.at)),
        Box::new(i64::from(alert.flows)),
        Box::new(i64::from(alert.odd_flows)),
        Box::new(now_s),
        Box::new(alert.state as i16),
        Box::new(alert.role as i16),
        Box::new(i32::from(alert.service_port)),
        Box::new(f64::from(alert.peak_nats)),
        Box::new(f64::from(alert.limit_nats)),
        Box::new(alert.host.0.as_slice()),
        Box::new(alert.resembles.as_ref().map(|name| text(name.as_str()))),
        Box::new(received.payload.as_slice()),
    ]
}

/// Stores sample batches.
pub(super) fn samples(session: &mut Session, changes: &Changes<'_>, now_s: i64) -> Queried<()> {
    if changes.samples.is_empty() {
        return Ok(());
    }
    arrivals::announce(session)?;
    let ids = draw_ids(session, "sample_ids", changes.samples.len())?;
    let statement = "COPY samples (id, agent, run, number, schema, rows, suspect_first_ns, suspect_last_ns, received_s, \
                     payload) FROM STDIN (FORMAT binary)";
    let mut types = vec![Type::INT8; 9];
    types.push(Type::BYTEA);
    let rows = changes.samples.iter().zip(&ids).map(|((agent, received, samples, schema), id)| {
        let (first, last) = samples.suspects.map(|(first, last)| (stored_ns(first), stored_ns(last))).unzip();
        let row: Vec<Box<dyn ToSql + Sync + '_>> = vec![
            Box::new(*id),
            Box::new(*agent),
            Box::new(received.run.cast_signed()),
            Box::new(received.number.cast_signed()),
            Box::new(*schema),
            Box::new(i64::from(samples.rows)),
            Box::new(first),
            Box::new(last),
            Box::new(now_s),
            Box::new(received.payload.as_slice()),
        ];
        row
    });
    copy(session, statement, &types, rows)
}

/// Stores update reports.
pub(super) fn updates(session: &mut Session, changes: &Changes<'_>, now_s: i64) -> Queried<()> {
    if changes.updates.is_empty() {
        return Ok(());
    }
    let ids = draw_ids(session, "update_ids", changes.updates.len())?;
    let statement =
        "COPY updates (id, agent, run, number, release, received_s, step, reason) FROM STDIN (FORMAT binary)";
    let mut types = vec![Type::INT8; 6];
    types.extend([Type::TEXT, Type::TEXT]);
    let rows = changes.updates.iter().zip(&ids).map(|((agent, received, update), id)| {
        let (step, reason) = step_names(&update.step);
        let row: Vec<Box<dyn ToSql + Sync + '_>> = vec![
            Box::new(*id),
            Box::new(*agent),
            Box::new(received.run.cast_signed()),
            Box::new(received.number.cast_signed()),
            Box::new(update.release.cast_signed()),
            Box::new(now_s),
            Box::new(step),
            Box::new(reason.map(text)),
        ];
        row
    });
    copy(session, statement, &types, rows)
}
