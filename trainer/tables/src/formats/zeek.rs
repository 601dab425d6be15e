//! Zeek's `conn.log` (docs.zeek.org, `Conn::Info`) as TSV with `#fields`, CSV or JSON lines, and IoT-23's
//! `conn.log.labeled`, whose last three fields are separated by three spaces.
//!
//! Features are protocol, service, state and history of the connection as categories, and duration, octets and packets
//! of both directions as numbers. Addresses and ports are metadata: in IoT-23 one host is infected and one port belongs
//! to the command server. `local_orig` and `local_resp` depend on Zeek's configuration. A log without labels counts as
//! benign and is marked as unlabelled.

use super::{ADDRESS, IDENTIFIER, Label, Layout, PORT, Role};

const FIELDS: [&str; 23] = [
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "service",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "conn_state",
    "local_orig",
    "local_resp",
    "missed_bytes",
    "history",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
    "tunnel_parents",
    "label",
    "detailed-label",
];

pub(super) struct Zeek;

impl Layout for Zeek {
    fn role(&self, name: &str) -> Role {
        match name {
            "ts" => Role::Time,
            "id.orig_h" => Role::Source,
            "id.resp_h" => Role::LeftOut(ADDRESS),
            "id.orig_p" | "id.resp_p" => Role::LeftOut(PORT),
            "uid" | "tunnel_parents" => Role::LeftOut(IDENTIFIER),
            "local_orig" | "local_resp" => Role::LeftOut("depends on how Zeek was configured"),
            "proto" | "service" | "conn_state" | "history" => Role::Category,
            "duration" | "orig_bytes" | "resp_bytes" | "missed_bytes" | "orig_pkts" | "orig_ip_bytes" | "resp_pkts"
            | "resp_ip_bytes" => Role::Number,
            "label" => Role::Label,
            "detailed-label" => Role::Detail,
            _ => Role::LeftOut("not a supported field of conn.log"),
        }
    }

    fn required(&self) -> Vec<String> {
        ["ts", "id.orig_h", "proto", "duration", "orig_pkts", "resp_pkts", "conn_state"].map(Into::into).into()
    }

    fn headerless(&self, fields: usize) -> Option<Vec<String>> {
        // JSON lines name their own fields; a log without labels lacks the last two in every row.
        (fields == 0).then(|| FIELDS.map(Into::into).into())
    }

    fn zeek(&self) -> bool {
        true
    }

    fn json(&self) -> bool {
        true
    }

    fn category<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        std::borrow::Cow::Borrowed(if text == "(empty)" { "-" } else { text })
    }

    fn label(&self, label: &str, detail: &str) -> Result<Label, String> {
        match label.to_lowercase().as_str() {
            "benign" | "" | "-" | "(empty)" => Ok(Label::benign()),
            "malicious" => Ok(Label::attack(if matches!(detail, "" | "-") { "Malicious" } else { detail })),
            _ => Err("Benign or Malicious".into()),
        }
    }
}
