//! NSL-KDD (Tavallaee et al. 2009): 41 features, attack name, difficulty; no header.
//!
//! The kind is the family of the attack (`dos`, `probe`, `r2l`, `u2r`), the detail its name, including attacks that
//! occur only in the test file. Difficulty is left out: it was computed from the predictions of other models.
//! `su_attempted` is a flag with some values of 2, which become 1; `num_outbound_cmds` is constant and dropped by
//! encoders.

use super::{Label, Layout, Role};

const NAMES: [&str; 43] = [
    "duration",
    "protocol_type",
    "service",
    "flag",
    "src_bytes",
    "dst_bytes",
    "land",
    "wrong_fragment",
    "urgent",
    "hot",
    "num_failed_logins",
    "logged_in",
    "num_compromised",
    "root_shell",
    "su_attempted",
    "num_root",
    "num_file_creations",
    "num_shells",
    "num_access_files",
    "num_outbound_cmds",
    "is_host_login",
    "is_guest_login",
    "count",
    "srv_count",
    "serror_rate",
    "srv_serror_rate",
    "rerror_rate",
    "srv_rerror_rate",
    "same_srv_rate",
    "diff_srv_rate",
    "srv_diff_host_rate",
    "dst_host_count",
    "dst_host_srv_count",
    "dst_host_same_srv_rate",
    "dst_host_diff_srv_rate",
    "dst_host_same_src_port_rate",
    "dst_host_srv_diff_host_rate",
    "dst_host_serror_rate",
    "dst_host_srv_serror_rate",
    "dst_host_rerror_rate",
    "dst_host_srv_rerror_rate",
    "attack",
    "difficulty",
];
const FAMILIES: [(&str, &[&str]); 4] = [
    (
        "dos",
        &[
            "apache2",
            "back",
            "land",
            "mailbomb",
            "neptune",
            "pod",
            "processtable",
            "smurf",
            "teardrop",
            "udpstorm",
            "worm",
        ],
    ),
    ("probe", &["ipsweep", "mscan", "nmap", "portsweep", "saint", "satan"]),
    (
        "r2l",
        &[
            "ftp_write",
            "guess_passwd",
            "httptunnel",
            "imap",
            "multihop",
            "named",
            "phf",
            "sendmail",
            "snmpgetattack",
            "snmpguess",
            "spy",
            "warezclient",
            "warezmaster",
            "xlock",
            "xsnoop",
        ],
    ),
    ("u2r", &["buffer_overflow", "loadmodule", "perl", "ps", "rootkit", "sqlattack", "xterm"]),
];

pub(super) struct Nsl;

impl Layout for Nsl {
    fn name(&self, raw: &str) -> String {
        match raw.trim().to_lowercase().as_str() {
            // Spellings in headers that others added.
            "label" | "class" | "outcome" | "attack_type" => "attack".into(),
            "level" | "difficulty_level" => "difficulty".into(),
            name => name.into(),
        }
    }

    fn role(&self, name: &str) -> Role {
        match name {
            "protocol_type" | "service" | "flag" => Role::Category,
            "attack" => Role::Label,
            "difficulty" => Role::LeftOut("computed from the predictions of other models"),
            name if NAMES.contains(&name) => Role::Number,
            _ => Role::Unexpected,
        }
    }

    fn required(&self) -> Vec<String> {
        NAMES[..42].iter().map(|name| (*name).to_owned()).collect()
    }

    fn headerless(&self, fields: usize) -> Option<Vec<String>> {
        (42..=43).contains(&fields).then(|| NAMES[..fields].iter().map(|name| (*name).to_owned()).collect())
    }

    fn has_column(&self, raw: &str) -> bool {
        NAMES.contains(&self.name(raw).as_str())
    }

    fn flag(&self, name: &str) -> bool {
        matches!(name, "land" | "logged_in" | "root_shell" | "su_attempted" | "is_host_login" | "is_guest_login")
    }

    fn label(&self, label: &str, _detail: &str) -> Result<Label, String> {
        let name = label.trim_end_matches('.').to_lowercase();
        if name == "normal" {
            return Ok(Label::benign());
        }
        let family = FAMILIES.iter().find(|(_, attacks)| attacks.contains(&name.as_str()));
        let (family, _) = family.ok_or_else(|| "normal, or an attack of NSL-KDD, e.g. neptune or satan".to_owned())?;
        Ok(Label { detail: Some(name), ..Label::attack(family) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_have_family_and_name() {
        let label = Nsl.label("neptune", "").unwrap();
        assert_eq!((label.kind.as_deref(), label.detail.as_deref()), (Some("dos"), Some("neptune")));
        assert_eq!(Nsl.label("normal", "").unwrap(), Label::benign());
        assert!(Nsl.label("12", "").unwrap_err().contains("neptune"));
        assert_eq!(FAMILIES.iter().map(|(_, attacks)| attacks.len()).sum::<usize>(), 39);
    }
}
