//! Reading the store, labels and requests, from any process beside the one that collects.

use super::counters::{self, Counter};
use super::error::StoreError;
use super::kinds::NO_KIND;
use super::schema;
use lapwing_shared::messages::{Alert, AlertState, Body, Message, Role, Status};
use lapwing_shared::units::{Address, Timestamp};
use lapwing_shared::verdict::words::Head;
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A handle that reads, labels, and asks for retraining.
pub struct Desk {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
}

/// An operator's word on an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// It was nothing: its rows may be trained on.
    Benign,
    /// It was an attack.
    Attack,
}

impl Label {
    /// Its word in the table and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Benign => "benign",
            Self::Attack => "attack",
        }
    }
}

/// One agent, as `agents` lists it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AgentLine {
    /// Name.
    pub name: String,
    /// Newest run.
    pub run: u64,
    /// When it was last heard, seconds since the epoch.
    pub last_seen_s: u64,
    /// Feature rows that it ever sent.
    pub sample_rows: u64,
    /// Alert messages that it ever sent.
    pub alerts: u64,
    /// Last status, as the agent sent it.
    #[serde(skip)]
    pub status: Option<Vec<u8>>,
    /// Last health, as the agent sent it.
    #[serde(skip)]
    pub health: Option<Vec<u8>>,
}

/// One episode, as `alerts` lists it: its newest message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AlertLine {
    /// Agent.
    pub agent: String,
    /// Episode number.
    pub episode: u64,
    /// `opened`, `updated` or `closed`.
    pub state: &'static str,
    /// The host that the evidence is about.
    pub host: String,
    /// `source` or `target`.
    pub role: &'static str,
    /// First flow of the rise, seconds since the epoch, capture time.
    pub since_s: u64,
    /// Time of the newest message, seconds since the epoch, capture time.
    pub at_s: u64,
    /// Highest evidence, nats.
    pub peak_nats: f64,
    /// The limit, nats.
    pub limit_nats: f64,
    /// Flows.
    pub flows: u32,
    /// Odd flows.
    pub odd_flows: u32,
    /// Port aimed at, 0 for none.
    pub service_port: u16,
    /// Attack kind that it resembles.
    pub resembles: Option<String>,
    /// Release that said so.
    pub release: u64,
    /// Attack kind that the trainer's second stage names, `unknown` where it is not sure of one; nothing before it has
    /// looked, or where the trainer has no second stage.
    pub kind: Option<String>,
    /// Probability of that kind, or of the likeliest one where it is `unknown`; nothing without rows to tell by.
    pub kind_probability: Option<f64>,
    /// Feature rows that the kind rests on.
    pub kind_rows: Option<u32>,
    /// `benign`, `attack`, or nothing yet.
    pub label: Option<String>,
    /// Who labelled it.
    pub labelled_by: Option<String>,
    /// The newest message's bytes.
    #[serde(skip)]
    pub payload: Vec<u8>,
}

impl AlertLine {
    /// The kind that people are shown: what the trainer's second stage is sure of, else what the agent says that it
    /// resembles, else [`NO_KIND`].
    pub fn shown_kind(&self) -> &str {
        let named = self.kind.as_deref().filter(|kind| *kind != NO_KIND);
        named.or(self.resembles.as_deref()).unwrap_or(NO_KIND)
    }

    /// The newest message as the agent sent it.
    pub fn told(&self) -> Option<Alert> {
        match Message::decode(&self.payload).ok()?.body {
            Body::Alert(alert) => Some(alert),
            _ => None,
        }
    }

    /// Who did what to whom since when, for people; `told` is [`Self::told`].
    pub fn head<'a>(&'a self, told: &'a Alert) -> Head<'a> {
        Head { alert: told, kind: Some(self.shown_kind()).filter(|kind| *kind != NO_KIND) }
    }
}

/// What an agent last said of itself.
impl AgentLine {
    /// Its status; nothing before it has told one.
    pub fn told_status(&self) -> Option<Status> {
        match Message::decode(self.status.as_deref()?).ok()?.body {
            Body::Status(status) => Some(status),
            _ => None,
        }
    }
}

/// Which episodes to list.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Of this agent only.
    pub agent: Option<String>,
    /// Without a label only.
    pub unlabelled: bool,
    /// So many, newest first.
    pub limit: u32,
}

impl Desk {
    /// Opens an existing store.
    ///
    /// # Errors
    /// When there is none, or as for [`super::Store::open`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_existing(path)?;
        Ok(Self { path: path.to_path_buf(), connection })
    }

    /// Sorts an SQLite error.
    pub(super) fn sql(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |error| StoreError::from_sql(&path, error)
    }

    /// Every agent, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn agents(&self) -> Result<Vec<AgentLine>, StoreError> {
        let text = "SELECT name, run, last_seen_s, sample_rows, alerts, status, health FROM agents ORDER BY name";
        let mut statement = self.connection.prepare_cached(text).map_err(self.sql())?;
        let lines = statement.query_map([], agent_line).and_then(Iterator::collect);
        lines.map_err(self.sql())
    }

    /// Episodes, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn alerts(&self, filter: &AlertFilter) -> Result<Vec<AlertLine>, StoreError> {
        let text = format!(
            "SELECT {ALERT_COLUMNS} FROM alerts AS a {ALERT_TABLES} \
             WHERE a.id = (SELECT max(id) FROM alerts AS b WHERE b.agent = a.agent AND b.episode = a.episode) \
             AND (?1 IS NULL OR agents.name = ?1) AND (?2 = 0 OR labels.label IS NULL) \
             ORDER BY a.id DESC LIMIT ?3"
        );
        let mut statement = self.connection.prepare_cached(&text).map_err(self.sql())?;
        let values = (&filter.agent, filter.unlabelled, filter.limit);
        let lines = statement.query_map(values, alert_line).and_then(Iterator::collect);
        lines.map_err(self.sql())
    }

    /// Labels an episode; a later label replaces an earlier one.
    ///
    /// # Errors
    /// When the agent has no such episode, or the store cannot be written.
    pub fn label(&self, agent: &str, episode: u64, label: Label, who: &str, now_s: u64) -> Result<(), StoreError> {
        let text = "SELECT alerts.agent FROM alerts JOIN agents ON agents.id = alerts.agent \
                    WHERE agents.name = ?1 AND alerts.episode = ?2 LIMIT 1";
        let found: Option<i64> = self
            .connection
            .query_row(text, (agent, episode.cast_signed()), |row| row.get(0))
            .optional()
            .map_err(self.sql())?;
        let what = || format!("alert episode {episode} of agent `{agent}`");
        let id = found.ok_or_else(|| StoreError::Missing { what: what(), list: "alerts" })?;
        let text = "INSERT INTO labels (agent, episode, label, who, when_s) VALUES (?1, ?2, ?3, ?4, ?5) \
                    ON CONFLICT (agent, episode) DO UPDATE SET label = ?3, who = ?4, when_s = ?5";
        let values = (id, episode.cast_signed(), label.as_str(), who, now_s.cast_signed());
        self.connection.execute(text, values).map(drop).map_err(self.sql())
    }

    /// Reads a counter.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn counter(&self, counter: Counter) -> Result<u64, StoreError> {
        counters::read(&self.connection, counter).map_err(self.sql())
    }

    /// Replaces a counter.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_counter(&self, counter: Counter, value: u64) -> Result<(), StoreError> {
        counters::set(&self.connection, counter, value).map_err(self.sql())
    }

    /// Stored messages: alerts, sample batches, update reports.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stored(&self) -> Result<[u64; 3], StoreError> {
        let text =
            "SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM samples), (SELECT count(*) FROM updates)";
        let read = |row: &rusqlite::Row<'_>| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?]);
        self.connection.query_row(text, [], read).map(|counts| counts.map(i64::cast_unsigned)).map_err(self.sql())
    }
}

/// What [`alert_line`] reads, in its order.
pub(super) const ALERT_COLUMNS: &str = "agents.name, a.episode, a.state, a.host, a.role, a.since_ns, a.at_ns, \
     a.peak_nats, a.limit_nats, a.flows, a.odd_flows, a.service_port, a.resembles, a.release, labels.label, labels.who, \
     a.payload, kinds.kind, kinds.probability, kinds.rows";
/// Where it stands, besides `alerts AS a`.
pub(super) const ALERT_TABLES: &str = "JOIN agents ON agents.id = a.agent \
     LEFT JOIN labels ON labels.agent = a.agent AND labels.episode = a.episode \
     LEFT JOIN kinds ON kinds.agent = a.agent AND kinds.episode = a.episode";

pub(super) fn agent_line(row: &rusqlite::Row<'_>) -> rusqlite::Result<AgentLine> {
    Ok(AgentLine {
        name: row.get(0)?,
        run: row.get::<_, i64>(1)?.cast_unsigned(),
        last_seen_s: row.get::<_, i64>(2)?.cast_unsigned(),
        sample_rows: row.get::<_, i64>(3)?.cast_unsigned(),
        alerts: row.get::<_, i64>(4)?.cast_unsigned(),
        status: row.get(5)?,
        health: row.get(6)?,
    })
}

pub(super) fn alert_line(row: &rusqlite::Row<'_>) -> rusqlite::Result<AlertLine> {
    let states = [AlertState::Opened, AlertState::Updated, AlertState::Closed];
    let state: u8 = row.get(2)?;
    let seconds = |nanos: i64| Timestamp::from_nanos(nanos.cast_unsigned()).as_secs();
    Ok(AlertLine {
        agent: row.get(0)?,
        episode: row.get::<_, i64>(1)?.cast_unsigned(),
        state: match states.get(usize::from(state)) {
            Some(AlertState::Opened) => "opened",
            Some(AlertState::Updated) => "updated",
            Some(AlertState::Closed) | None => "closed",
        },
        host: Address(row.get(3)?).to_string(),
        role: if row.get::<_, u8>(4)? == Role::Source as u8 { "source" } else { "target" },
        since_s: seconds(row.get(5)?),
        at_s: seconds(row.get(6)?),
        peak_nats: row.get(7)?,
        limit_nats: row.get(8)?,
        flows: row.get(9)?,
        odd_flows: row.get(10)?,
        service_port: row.get(11)?,
        resembles: row.get(12)?,
        release: row.get::<_, i64>(13)?.cast_unsigned(),
        label: row.get(14)?,
        labelled_by: row.get(15)?,
        payload: row.get(16)?,
        kind: row.get(17)?,
        kind_probability: row.get(18)?,
        kind_rows: row.get(19)?,
    })
}
