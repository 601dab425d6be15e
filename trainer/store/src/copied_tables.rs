//! The tables that a copy of a store has, with their columns, for either database.
//!
//! A migration that adds a table or a column must add it here: a test of each database compares these lists with its schema.

mod statements;

use std::sync::LazyLock;

/// Rows per query and per transaction, at most.
pub(crate) const PAGE_ROWS: usize = 512;

/// A table.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Columns of both databases. The first `key` ones identify a row, and order the copy.
    pub(crate) columns: &'static [&'static str],
    pub(crate) key: usize,
    /// Columns that PostgreSQL has in addition, each with its value in SQLite's terms.
    pub(crate) more: &'static [(&'static str, &'static str)],
    /// What to read from, if not the whole table.
    from_sqlite: Option<&'static LazyLock<String>>,
    from_postgres: Option<&'static LazyLock<String>>,
}

/// A table with the same columns in both databases.
const fn table(name: &'static str, key: usize, columns: &'static [&'static str]) -> Table {
    Table { name, columns, key, more: &[], from_sqlite: None, from_postgres: None }
}

/// Setting: number of the store that this one was copied from.
pub(crate) const COPIED_FROM: &str = "copied-from";
/// Setting: present until the copy is complete.
pub(crate) const UNFINISHED: &str = "copy-unfinished";

/// Counters of the database rather than of what it stores: its number, which is copied separately, sizes of its tables, and
/// how many compactors have begun.
const OTHERS: &str = "name NOT IN ('store-id', 'compactors') AND name NOT LIKE 'stored-%'";

static SQLITE_COUNTERS: LazyLock<String> =
    LazyLock::new(|| format!("(SELECT name, value FROM counters WHERE {OTHERS}) AS counters"));
static POSTGRES_COUNTERS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "(SELECT name, CAST(sum(value) AS BIGINT) AS value, CAST(0 AS SMALLINT) AS shard FROM counters \
         WHERE {OTHERS} GROUP BY name) AS counters"
    )
});
/// Without the place of the segments, which a copy chooses itself.
static SETTINGS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "(SELECT name, value FROM settings WHERE name NOT IN ('{}', '{COPIED_FROM}', '{UNFINISHED}')) AS settings",
        crate::segment_rows::PLACE
    )
});

/// Every table that is copied, in this order: what a row refers to comes first.
pub(crate) static TABLES: [Table; 32] = [
    Table {
        more: &[("shard", "0")],
        from_sqlite: Some(&SQLITE_COUNTERS),
        from_postgres: Some(&POSTGRES_COUNTERS),
        ..table("counters", 1, &["name", "value"])
    },
    Table { from_sqlite: Some(&SETTINGS), from_postgres: Some(&SETTINGS), ..table("settings", 1, &["name", "value"]) },
    table("schemas", 1, &["id", "sha256"]),
    table(
        "agents",
        1,
        &[
            "id",
            "name",
            "run",
            "last_seen_s",
            "status",
            "health",
            "health_before",
            "sample_rows",
            "alerts",
            "open_episodes",
            "update_run",
            "update_number",
            "update_release",
            "update_step",
            "update_reason",
            "update_s",
            "reported_group",
            "assigned_group",
            "release",
            "on_trial",
            "online",
            "degraded",
            "silent",
        ],
    ),
    table("group_rows", 1, &["group_name", "stored", "trained"]),
    table("progress", 2, &["agent", "run", "up_to", "beyond", "used"]),
    table(
        "alerts",
        1,
        &[
            "id",
            "agent",
            "run",
            "number",
            "episode",
            "state",
            "host",
            "role",
            "since_ns",
            "at_ns",
            "peak_nats",
            "limit_nats",
            "flows",
            "odd_flows",
            "service_port",
            "resembles",
            "release",
            "received_s",
            "payload",
        ],
    ),
    Table {
        more: &[("message_s", "coalesce((SELECT received_s FROM alerts WHERE alerts.id = episodes.message), 0)")],
        ..table(
            "episodes",
            1,
            &[
                "id",
                "agent",
                "episode",
                "message",
                "run",
                "number",
                "state",
                "host",
                "role",
                "since_ns",
                "at_ns",
                "peak_nats",
                "limit_nats",
                "flows",
                "odd_flows",
                "service_port",
                "resembles",
                "release",
                "first_ns",
                "last_ns",
                "open_ns",
                "closed_ns",
                "highest_limit_nats",
                "is_open",
                "shown_class",
                "class",
                "class_probability",
                "class_rows",
                "class_model",
                "classified_s",
                "to_classify",
                "label",
                "labelled_by",
                "labelled_s",
                "address_key",
                "to_join",
                "join_cause",
            ],
        )
    },
    table("episode_days", 2, &["day", "agent", "episodes"]),
    // SQLite does not know when a batch arrived; PostgreSQL needs the time only to choose a partition.
    Table {
        more: &[("received_s", "0")],
        ..table(
            "samples",
            1,
            &["id", "agent", "run", "number", "schema", "rows", "suspect_first_ns", "suspect_last_ns", "payload"],
        )
    },
    table("updates", 1, &["id", "agent", "run", "number", "release", "step", "reason", "received_s"]),
    table("releases", 2, &["group_name", "version", "manifest_sha256", "made_s", "file", "reason"]),
    table(
        "held_releases",
        2,
        &["group_name", "version", "made_s", "file", "reason", "findings", "state", "who", "when_s"],
    ),
    table("audit", 1, &["number", "at_s", "who", "action", "object", "detail", "previous"]),
    table("audit_head", 1, &["id", "number", "sha256"]),
    table("jobs", 1, &["id", "asked_s", "who", "state", "ended_s", "result", "group_name"]),
    table(
        "segments",
        1,
        &[
            "id",
            "file",
            "group_name",
            "schema",
            "bytes",
            "sha256",
            "rows",
            "batches",
            "first_ns",
            "last_ns",
            "first_arrival",
            "last_arrival",
            "made_s",
            "is_rewritten",
            "has_forgotten",
        ],
    ),
    table(
        "segment_agents",
        2,
        &[
            "segment",
            "agent",
            "rows",
            "batches",
            "bytes",
            "last_arrival",
            "newest_ns",
            "suspect_first_ns",
            "suspect_last_ns",
        ],
    ),
    table(
        "enrolment_tokens",
        1,
        &[
            "id",
            "secret",
            "group_name",
            "name",
            "uses",
            "used",
            "until_s",
            "must_be_accepted",
            "replaces",
            "who",
            "created_s",
        ],
    ),
    table(
        "identities",
        1,
        &[
            "id",
            "name",
            "fingerprint",
            "group_name",
            "state",
            "issued",
            "until_s",
            "enrolled_s",
            "token",
            "who",
            "changed_s",
            "revision",
            "rows_after",
        ],
    ),
    table("root_documents", 1, &["version", "bytes", "stored_s", "who"]),
    table(
        "campaigns",
        1,
        &["id", "group_name", "version", "state", "is_open", "revision", "made_s", "changed_s", "body"],
    ),
    table("campaign_transitions", 2, &["campaign", "number", "at_s", "state", "wave", "wave_state", "who", "why"]),
    table(
        "gate_results",
        3,
        &[
            "campaign",
            "gate",
            "number",
            "wave",
            "since_s",
            "at_s",
            "verdict",
            "missing",
            "numerator",
            "denominator",
            "control_numerator",
            "control_denominator",
            "threshold",
            "text",
        ],
    ),
    table(
        "assignments",
        1,
        &["name", "serial", "channel", "pin", "hold", "alerts_per_1000_days", "is_set_aside", "issued_s", "who"],
    ),
    table("rollouts", 2, &["group_name", "serial", "body", "issued_s", "campaign"]),
    table("people", 1, &["name", "role", "password", "created_s", "who"]),
    table("api_tokens", 1, &["id", "sha256", "person", "label", "role", "created_s", "until_s", "used_s"]),
    table(
        "release_health",
        1,
        &["agent", "version", "first_s", "degraded_since_s", "before_version", "before_cpu_ms", "before_packets"],
    ),
    table(
        "incidents",
        1,
        &[
            "id",
            "rule",
            "cause",
            "key",
            "group_name",
            "release",
            "state",
            "verdict",
            "severity",
            "first_s",
            "last_s",
            "active_s",
            "sites",
            "episodes",
            "assigned",
            "seen_by",
            "resolved_by",
            "again_of",
            "merged_into",
            "made_s",
        ],
    ),
    table(
        "incident_episodes",
        2,
        &["agent", "episode", "incident", "joined_by", "why", "pinned", "severity", "since_s", "last_s", "at_s"],
    ),
    table("notes", 1, &["id", "on_kind", "on_id", "who", "at_s", "text"]),
];

/// Tables that a copy does not have, and why.
#[cfg(test)]
pub(crate) const OTHER_TABLES: [(&str, &str); 6] = [
    ("agent_counts", "triggers count the agents while they are copied"),
    ("links", "administrators make others"),
    ("removed_segments", "files in the place of the original, which deletes them"),
    ("renewals", "agents repeat their requests"),
    ("schema_versions", "of the database"),
    ("sessions", "people sign in again"),
];

/// Columns that a copy does not have, and why.
#[cfg(test)]
pub(crate) const OTHER_COLUMNS: [(&str, &str, &str); 4] = [
    ("agents", "stored_sample_bytes", "computed at the end of a copy, as the next three"),
    ("agents", "stored_sample_rows", ""),
    ("agents", "stored_alerts", ""),
    ("agents", "stored_updates", ""),
];
