//! A row of an episode → its record and its newest message.

use crate::fields::{Fields, time};
use lapwing_fleet::{Classification, Episode, EpisodeRecord, Label, MessageKey};
use lapwing_shared::messages::{AddressForm, Alert, AlertState, Body, Message, Role};
use lapwing_shared::units::Address;

fn decode_alert(payload: Option<Vec<u8>>) -> Option<Box<Alert>> {
    match Message::decode(&payload?).ok()?.body {
        Body::Alert(alert) => Some(Box::new(alert)),
        _ => None,
    }
}

/// Columns that [`record`] reads, in this order.
pub(crate) const RECORD: &str = "e.run, e.number, e.state, e.host, e.role, e.since_ns, e.at_ns, e.peak_nats, \
     e.limit_nats, e.flows, e.odd_flows, e.service_port, e.resembles, e.release, e.first_ns, e.last_ns, e.open_ns, \
     e.closed_ns, e.highest_limit_nats, e.address_key";
/// Number of columns of [`RECORD`].
pub(crate) const RECORD_COLUMNS: usize = 20;

/// The record in the first columns of a row.
pub(crate) fn record<R: Fields>(row: &R) -> Result<EpisodeRecord, R::Error> {
    let at = |column| row.integer(column).map(time);
    let at_or_null = |column| row.integer_or_null(column).map(|at| at.map(time));
    let host = row.bytes(3)?.try_into().map_err(|_| R::invalid(3, "an address of 16 bytes"))?;
    let code = row.integer_or_null(19)?.map(|code| u32::try_from(code).map_err(|_| R::invalid(19, "a key identifier")));
    Ok(EpisodeRecord {
        newest: MessageKey { run: row.unsigned(0)?, number: row.unsigned(1)? },
        state: alert_state(row.integer(2)?),
        host: Address(host),
        addresses: AddressForm::from_code(code.transpose()?),
        role: if row.integer(4)? == i64::from(Role::Source as u8) { Role::Source } else { Role::Target },
        since: at(5)?,
        at: at(6)?,
        peak_nats: row.real(7)?,
        limit_nats: row.real(8)?,
        flows: row.small(9)?,
        odd_flows: row.small(10)?,
        service_port: row.small(11)?,
        resembles: row.text_or_null(12)?,
        release: row.unsigned(13)?,
        first: at(14)?,
        last: at(15)?,
        open_at: at_or_null(16)?,
        closed_at: at_or_null(17)?,
        highest_limit_nats: row.real(18)?,
    })
}

/// Columns that [`episode`] reads after those of [`RECORD`], and the row id.
pub(crate) const EPISODE: &str = "e.episode, agents.name, e.class, e.class_probability, e.class_rows, e.label, \
     e.labelled_by, alerts.payload, e.id";
/// Position of the row id after the columns of [`RECORD`] and [`EPISODE`].
#[cfg(feature = "postgres")]
pub(crate) const EPISODE_ID: usize = RECORD_COLUMNS + 8;

/// A row of [`RECORD`] and [`EPISODE`], with its message decoded.
pub(crate) fn episode<R: Fields>(row: &R) -> Result<Episode, R::Error> {
    let next = |column: usize| RECORD_COLUMNS + column;
    let probability = row.real_or_null(next(3))?;
    let rows = row.integer_or_null(next(4))?.and_then(|rows| u32::try_from(rows).ok()).unwrap_or(0);
    let class = row.text_or_null(next(2))?.map(|class| Classification { class, probability, rows });
    Ok(Episode {
        agent: row.text(next(1))?,
        number: row.unsigned(next(0))?,
        record: record(row)?,
        class,
        label: row.text_or_null(next(5))?.as_deref().and_then(Label::parse),
        labelled_by: row.text_or_null(next(6))?,
        message: decode_alert(row.bytes_or_null(next(7))?),
    })
}

/// State of an alert message by its stored number.
pub(crate) fn alert_state(number: i64) -> AlertState {
    match number {
        0 => AlertState::Opened,
        1 => AlertState::Updated,
        _ => AlertState::Closed,
    }
}
