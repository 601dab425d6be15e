//! CIC-IDS2017 (Sharafaldin et al. 2018), as published with 79 or 85 columns, or as corrected by Liu, Engelen et al.
//! (2022) with 91.
//!
//! All columns are features except identifiers, addresses, ports, time and labels; the protocol is a category. Names
//! differ between the releases, so the files of one table must come from one release. The corrected release labels
//! harmless flows of an attack tool `… - Attempted`; its authors count them as benign, which is the default here. In
//! the published release `Fwd Header Length` occurs twice (the second becomes `.1` here), a dash in `Web Attack` labels
//! is not ASCII, and afternoon hours lack PM: hours 1 to 7 are read as 13 to 19, because the testbed ran from 8:00 to
//! 17:00.

use super::{ADDRESS, IDENTIFIER, Label, Layout, PORT, Role, squeezed, time};
use serde::{Deserialize, Serialize};

/// How to label attempted attacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attempted {
    /// Benign, as the authors of the corrected labels do.
    #[default]
    Benign,
    /// The attack that was attempted.
    Attack,
    /// Dropped and counted.
    Drop,
}

/// Normalized labels and their attack names.
const ATTACKS: [(&str, &str); 17] = [
    ("bot", "Botnet"),
    ("botnet", "Botnet"),
    ("botnetares", "Botnet"),
    ("ddos", "DDoS"),
    ("ddosloit", "DDoS"),
    ("dosgoldeneye", "DoS GoldenEye"),
    ("doshulk", "DoS Hulk"),
    ("dosslowhttptest", "DoS Slowhttptest"),
    ("dosslowloris", "DoS Slowloris"),
    ("ftppatator", "FTP-Patator"),
    ("heartbleed", "Heartbleed"),
    ("infiltration", "Infiltration"),
    ("infiltrationportscan", "Infiltration - Portscan"),
    ("portscan", "Portscan"),
    ("sshpatator", "SSH-Patator"),
    ("webattackbruteforce", "Web Attack - Brute Force"),
    ("webattackxss", "Web Attack - XSS"),
];
const SQL: &str = "webattacksqlinjection";
const DAYS: [&str; 5] = ["monday", "tuesday", "wednesday", "thursday", "friday"];

pub(super) struct Cic {
    pub(super) attempted: Attempted,
}

impl Layout for Cic {
    fn role(&self, name: &str) -> Role {
        match squeezed(name).as_str() {
            "label" => Role::Label,
            "timestamp" => Role::Time,
            "srcip" | "sourceip" => Role::Source,
            "dstip" | "destinationip" | "externalip" => Role::LeftOut(ADDRESS),
            "srcport" | "sourceport" | "dstport" | "destinationport" => Role::LeftOut(PORT),
            "id" | "flowid" => Role::LeftOut(IDENTIFIER),
            "attemptedcategory" => Role::LeftOut("part of the label"),
            "protocol" => Role::Category,
            _ => Role::Number,
        }
    }

    fn required(&self) -> Vec<String> {
        vec!["Flow Duration".into(), "Label".into()]
    }

    fn repeats_names(&self) -> bool {
        true
    }

    fn category<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        // pandas and Parquet can turn the protocol into 6.0.
        std::borrow::Cow::Borrowed(text.strip_suffix(".0").unwrap_or(text))
    }

    fn label(&self, label: &str, _detail: &str) -> Result<Label, String> {
        let squeezed = squeezed(label);
        if squeezed == "benign" {
            return Ok(Label::benign());
        }
        let (plain, attempted) = match squeezed.strip_suffix("attempted") {
            Some(plain) => (plain, true),
            None => (squeezed.as_str(), false),
        };
        let kind = attack(plain).ok_or_else(|| {
            let names: Vec<&str> = ATTACKS.iter().map(|(_, name)| *name).collect();
            format!("BENIGN, Web Attack - SQL Injection, or one of {}", names.join(", "))
        })?;
        if !attempted {
            return Ok(Label::attack(kind));
        }
        Ok(match self.attempted {
            Attempted::Benign => {
                Label { relabelled: Some("attempted attack counts as benign".into()), ..Label::benign() }
            }
            Attempted::Attack => {
                Label { relabelled: Some("attempted attack counts as attack".into()), ..Label::attack(kind) }
            }
            Attempted::Drop => Label { drop: Some("attempted attack".into()), ..Label::benign() },
        })
    }

    fn time(&self, text: &str) -> Option<f64> {
        let time = time::parse(text)?;
        let hour = (time.rem_euclid(86_400.0) / 3600.0) as u32;
        let half_day_lost = text.contains('/') && (1..=7).contains(&hour);
        Some(if half_day_lost { time + 43_200.0 } else { time })
    }

    fn day_of_time(&self, time: f64) -> Option<String> {
        time::weekday(time)
    }

    fn day_of_file(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        DAYS.iter().find(|day| name.contains(*day)).map(|day| (*day).to_owned())
    }
}

fn attack(plain: &str) -> Option<&'static str> {
    // Published labels end in `Sql Injection`, corrected ones in `SQL Injection`.
    if plain == SQL {
        return Some("Web Attack - SQL Injection");
    }
    ATTACKS.iter().find(|(written, _)| *written == plain).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_all_releases_map_to_the_same_names() {
        let cic = Cic { attempted: Attempted::Benign };
        for (label, kind) in [
            ("Web Attack \u{fffd} Sql Injection", "Web Attack - SQL Injection"),
            ("Web Attack – XSS", "Web Attack - XSS"),
            ("DoS slowloris", "DoS Slowloris"),
            ("Bot", "Botnet"),
            ("PortScan", "Portscan"),
        ] {
            assert_eq!(cic.label(label, "").unwrap().kind.as_deref(), Some(kind));
        }
        assert_eq!(cic.label("BENIGN", "").unwrap(), Label::benign());
        assert!(cic.label("Smurf", "").unwrap_err().contains("DoS Hulk"));
    }

    #[test]
    fn attempted_attacks_are_labelled_as_configured() {
        let label = |attempted| Cic { attempted }.label("DoS Hulk - Attempted", "3").unwrap();
        assert_eq!(label(Attempted::Benign).kind, None);
        assert!(label(Attempted::Benign).relabelled.is_some());
        assert_eq!(label(Attempted::Attack).kind.as_deref(), Some("DoS Hulk"));
        assert!(label(Attempted::Drop).drop.is_some());
    }

    #[test]
    fn afternoon_times_without_pm_are_corrected() {
        let cic = Cic { attempted: Attempted::Benign };
        let (morning, afternoon) = (cic.time("7/7/2017 11:59").unwrap(), cic.time("7/7/2017 3:30").unwrap());
        assert_eq!(afternoon - morning, 3.0 * 3600.0 + 31.0 * 60.0);
        assert_eq!(cic.day_of_time(afternoon).as_deref(), Some("friday"));
        assert_eq!(cic.day_of_file("Friday-WorkingHours-Afternoon-DDos.pcap_ISCX.csv").as_deref(), Some("friday"));
        // The corrected files have 24-hour times.
        assert_eq!(cic.time("2017-07-07 03:30:00").unwrap() + 43_200.0, afternoon);
    }
}
