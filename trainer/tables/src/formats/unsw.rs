//! UNSW-NB15 (Moustafa and Slay 2015): partition files with a header, or the four raw files with 49 columns and no
//! header.
//!
//! Raw columns get the names of the partition files, so one model works on both; the raw files lack `rate`. Raw
//! addresses, ports and times are metadata. `sttl`, `dttl` and `ct_state_ttl` nearly reveal the label (a testbed
//! artefact), and `stcpb` and `dtcpb` are random by design. They are features here because earlier work used them;
//! remove them with [`crate::Table::without`] for a fair evaluation. `is_ftp_login` is a flag with some larger counts,
//! which become 1.

use super::{ADDRESS, IDENTIFIER, Label, Layout, PORT, Role};

const PARTITION: [&str; 45] = [
    "id",
    "dur",
    "proto",
    "service",
    "state",
    "spkts",
    "dpkts",
    "sbytes",
    "dbytes",
    "rate",
    "sttl",
    "dttl",
    "sload",
    "dload",
    "sloss",
    "dloss",
    "sinpkt",
    "dinpkt",
    "sjit",
    "djit",
    "swin",
    "stcpb",
    "dtcpb",
    "dwin",
    "tcprtt",
    "synack",
    "ackdat",
    "smean",
    "dmean",
    "trans_depth",
    "response_body_len",
    "ct_srv_src",
    "ct_state_ttl",
    "ct_dst_ltm",
    "ct_src_dport_ltm",
    "ct_dst_sport_ltm",
    "ct_dst_src_ltm",
    "is_ftp_login",
    "ct_ftp_cmd",
    "ct_flw_http_mthd",
    "ct_src_ltm",
    "ct_srv_dst",
    "is_sm_ips_ports",
    "attack_cat",
    "label",
];
const RAW: [&str; 49] = [
    "srcip",
    "sport",
    "dstip",
    "dsport",
    "proto",
    "state",
    "dur",
    "sbytes",
    "dbytes",
    "sttl",
    "dttl",
    "sloss",
    "dloss",
    "service",
    "sload",
    "dload",
    "spkts",
    "dpkts",
    "swin",
    "dwin",
    "stcpb",
    "dtcpb",
    "smean",
    "dmean",
    "trans_depth",
    "response_body_len",
    "sjit",
    "djit",
    "stime",
    "ltime",
    "sinpkt",
    "dinpkt",
    "tcprtt",
    "synack",
    "ackdat",
    "is_sm_ips_ports",
    "ct_state_ttl",
    "ct_flw_http_mthd",
    "is_ftp_login",
    "ct_ftp_cmd",
    "ct_srv_src",
    "ct_srv_dst",
    "ct_dst_ltm",
    "ct_src_ltm",
    "ct_src_dport_ltm",
    "ct_dst_sport_ltm",
    "ct_dst_src_ltm",
    "attack_cat",
    "label",
];
/// Other spellings in headers of the raw files.
const SPELLINGS: [(&str, &str); 6] = [
    ("smeansz", "smean"),
    ("dmeansz", "dmean"),
    ("res_bdy_len", "response_body_len"),
    ("sintpkt", "sinpkt"),
    ("dintpkt", "dinpkt"),
    ("ct_src_ ltm", "ct_src_ltm"),
];
const ATTACKS: [&str; 9] =
    ["Analysis", "Backdoor", "DoS", "Exploits", "Fuzzers", "Generic", "Reconnaissance", "Shellcode", "Worms"];

pub(super) struct Unsw;

impl Layout for Unsw {
    fn name(&self, raw: &str) -> String {
        let name = raw.trim().to_lowercase();
        SPELLINGS.iter().find(|(written, _)| *written == name).map_or(name, |(_, name)| (*name).to_owned())
    }

    fn role(&self, name: &str) -> Role {
        match name {
            "id" => Role::LeftOut(IDENTIFIER),
            "srcip" => Role::Source,
            "dstip" => Role::LeftOut(ADDRESS),
            "sport" | "dsport" => Role::LeftOut(PORT),
            "stime" => Role::Time,
            "ltime" => Role::LeftOut("a time: it identifies the hours of the attacks"),
            "proto" | "service" | "state" => Role::Category,
            "attack_cat" => Role::Detail,
            "label" => Role::Label,
            _ => Role::Number,
        }
    }

    fn required(&self) -> Vec<String> {
        ["dur", "proto", "service", "state", "sbytes", "dbytes", "attack_cat", "label"].map(Into::into).into()
    }

    fn headerless(&self, fields: usize) -> Option<Vec<String>> {
        match fields {
            45 => Some(PARTITION.map(Into::into).into()),
            49 => Some(RAW.map(Into::into).into()),
            _ => None,
        }
    }

    fn has_column(&self, raw: &str) -> bool {
        let name = self.name(raw);
        PARTITION.contains(&name.as_str()) || RAW.contains(&name.as_str())
    }

    fn flag(&self, name: &str) -> bool {
        matches!(name, "is_ftp_login" | "is_sm_ips_ports")
    }

    fn label(&self, label: &str, detail: &str) -> Result<Label, String> {
        let attack = match label {
            "0" | "0.0" => false,
            "1" | "1.0" => true,
            _ => return Err("0 or 1".into()),
        };
        // The raw files contain `Backdoors`, ` Fuzzers `, and an empty text for normal rows.
        let name = detail.strip_suffix("Backdoors").map_or(detail, |_| "Backdoor");
        let kind = ATTACKS.iter().find(|kind| kind.eq_ignore_ascii_case(name));
        match (attack, kind) {
            (false, None) if detail.is_empty() || detail.eq_ignore_ascii_case("normal") => Ok(Label::benign()),
            (true, Some(kind)) => Ok(Label::attack(kind)),
            (false, _) => Err(format!("1, because attack_cat is `{detail}`, or attack_cat Normal")),
            (true, None) => Err(format!("an attack_cat of {} (it is `{detail}`)", ATTACKS.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_and_partition_files_share_all_features_but_rate() {
        let features = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|name| Unsw.name(name)).collect();
            names.retain(|name| matches!(Unsw.role(name), Role::Number | Role::Category));
            names.sort();
            names
        };
        let mut partition = features(&PARTITION);
        partition.retain(|name| name != "rate");
        assert_eq!(features(&RAW), partition);
        assert_eq!(partition.len(), 41);
    }

    #[test]
    fn contradictory_labels_are_rejected() {
        assert_eq!(Unsw.label("0", "").unwrap(), Label::benign());
        assert_eq!(Unsw.label("1", "Backdoors").unwrap(), Label::attack("Backdoor"));
        assert!(Unsw.label("0", "DoS").unwrap_err().contains("`DoS`"));
        assert!(Unsw.label("1", "").is_err());
        assert!(Unsw.label("2", "DoS").is_err());
    }
}
