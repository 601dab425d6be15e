//! The identity in the state folder → the keys that the configuration file leaves out.

use super::Config;
use crate::clock;
use crate::disk::Folder;
use crate::identity::{self, Identity};
use lapwing_shared::enrolment::{TimeLeft, Token};
use std::path::Path;

/// Public key of the packaged release, which does not replace the keys of an identity.
pub(crate) const PACKAGED_KEY: &str = "/usr/share/lapwing/release.pub";

impl Config {
    /// Reads the identity, and takes brokers, name, group and keys from it where the configuration has none. An identity
    /// that cannot be read is logged: the agent detects without it.
    pub(crate) fn use_identity(&mut self) {
        if let Err(error) = self.read_identity() {
            tracing::error!(%error, "this agent has no identity");
        }
    }

    /// The same.
    ///
    /// # Errors
    /// When the identity cannot be read.
    pub(crate) fn read_identity(&mut self) -> anyhow::Result<()> {
        // Opening would create it.
        let Some(folder) = self.identity_dir().filter(|folder| folder.exists()) else { return Ok(()) };
        let found =
            Folder::open(folder).map_err(anyhow::Error::from).and_then(|mut disk| Ok(identity::read(&mut disk)?));
        if let Some(identity) = found.map_err(|error| anyhow::anyhow!("{}: {error}", folder.display()))? {
            self.take(identity);
        }
        Ok(())
    }

    fn take(&mut self, identity: Identity) {
        let enrolled = &identity.enrolled;
        // The clock was at least there when the certificate was issued.
        clock::passed(enrolled.issued_s);
        if !self.mqtt.has_broker() {
            self.mqtt.urls = enrolled.brokers.iter().map(|url| url.as_str().to_owned()).collect();
        }
        if self.mqtt.agent.is_empty() {
            identity.name.as_str().clone_into(&mut self.mqtt.agent);
        }
        if self.mqtt.group.is_empty() {
            enrolled.group.as_str().clone_into(&mut self.mqtt.group);
        }
        self.update.enrolled_root = enrolled.root.to_vec();
        if self.update.keys.iter().all(|key| key == Path::new(PACKAGED_KEY)) {
            self.update.enrolled_keys = enrolled.keys.iter().map(|line| line.as_str().to_owned()).collect();
        }
        self.identity = Some(identity);
    }

    /// The folder of the identity: of the two folders, the one that outlasts a reboot.
    pub(crate) fn identity_dir(&self) -> Option<&Path> {
        self.update.version_dir.as_deref().or(self.update.state_dir.as_deref())
    }

    /// The token with which `run` enrols: if there is no identity, and a folder for it.
    #[cfg_attr(not(any(feature = "tls", feature = "sandbox")), allow(dead_code, reason = "enrolment needs TLS"))]
    pub(crate) fn enrolment_token(&self) -> Option<Token> {
        let is_wanted = self.identity.is_none() && self.identity_dir().is_some();
        self.mqtt.token.as_ref().filter(|_| is_wanted)?.trim().parse().ok()
    }

    /// True if any key may sign releases.
    pub(crate) fn has_keys(&self) -> bool {
        !self.update.keys.is_empty() || !self.update.enrolled_keys.is_empty()
    }

    /// What an operator should know about the identity.
    pub(crate) fn identity_warnings(&self) -> Vec<String> {
        let Some(identity) = &self.identity else { return Vec::new() };
        let (until_s, now_s) = (identity.enrolled.until_s, clock::at_least_s().unwrap_or_default());
        let mut warnings = Vec::new();
        if self.mqtt.agent != identity.name.as_str() {
            warnings.push(format!(
                "mqtt.agent is {}, and the certificate is for {}: brokers reject its messages; remove mqtt.agent",
                self.mqtt.agent, identity.name
            ));
        }
        if now_s >= until_s {
            warnings.push("the certificate has expired; the agent renews it at the enrolment port".into());
        } else if identity.enrolled.ends_soon(now_s) {
            let left = TimeLeft(until_s - now_s);
            warnings.push(format!(
                "the certificate expires in {left}, and was not renewed over MQTT; `lapwing-agent enroll` renews it at \
                 the enrolment port"
            ));
        }
        if self.mqtt.brokers().iter().any(|broker| !broker.tls) {
            warnings.push("mqtt:// does not use the certificate; use mqtts://".into());
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Enrolment, Progress, enrol};
    use lapwing_shared::enrolment::{CertificateRequest, Enrolled, EnrolmentResponse};
    use lapwing_shared::release::name::parse_name;
    use std::path::PathBuf;

    fn enrolled(public: &[u8; 32], until_s: u64) -> Enrolled {
        Enrolled {
            certificate: heapless::Vec::from_slice(public).unwrap(),
            authorities: [heapless::Vec::from_slice(&[8; 8]).unwrap()].into_iter().collect(),
            brokers: ["mqtts://hub".try_into().unwrap()].into_iter().collect(),
            group: parse_name("home").unwrap(),
            keys: ["lapwing-key-v1 site 00".try_into().unwrap()].into_iter().collect(),
            root: heapless::Vec::from_slice(&[7; 9]).unwrap(),
            issued_s: 1,
            until_s,
            seal: None,
        }
    }

    /// A state folder with the identity of agent attic.
    fn folder(test: &str, until_s: u64) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("lapwing-identity-{test}-{}", std::process::id()));
        let token = Token::new([1; 32], 7, [5; 16], "hub.lan:8481").unwrap();
        let name = parse_name("attic").unwrap();
        let enrolment = Enrolment { token: Some(token), chosen: None, default_name: name, seed: [1; 32] };
        let enrolled = enrol(&mut Folder::open(&folder).unwrap(), &enrolment, |_, make| {
            let public = CertificateRequest::parse(&make(&[0; 32]).certificate_request).unwrap().public;
            Ok(EnrolmentResponse::Enrolled(enrolled(&public, until_s)))
        });
        assert!(matches!(enrolled, Ok(Progress::Enrolled(_))));
        folder
    }

    fn with(folder: &Path, text: &str) -> Config {
        let mut config = Config::parse(text).unwrap();
        config.update.version_dir = Some(folder.to_owned());
        config.update.state_dir = Some("/nonexistent".into());
        config.use_identity();
        config
    }

    #[test]
    fn an_identity_fills_in_what_the_file_leaves_out_and_the_file_overrides_it() {
        let folder = folder("fills", u64::MAX);
        let filled = with(&folder, "");
        let urls: Vec<&str> = filled.mqtt.urls().map(String::as_str).collect();
        assert_eq!((urls, filled.mqtt.agent.as_str()), (vec!["mqtts://hub"], "attic"));
        assert_eq!((filled.mqtt.group.as_str(), filled.update.enrolled_keys.len()), ("home", 1));
        assert_eq!(filled.update.enrolled_root, [7; 9]);
        assert!(filled.has_keys() && filled.identity_warnings().is_empty());
        let text = "[mqtt]\nurl = 'mqtt://other'\nagent = 'x'\ngroup = 'y'\n[update]\nkeys = ['k']\n";
        let own = with(&folder, text);
        let urls: Vec<&str> = own.mqtt.urls().map(String::as_str).collect();
        assert_eq!((urls, own.mqtt.agent.as_str(), own.mqtt.group.as_str()), (vec!["mqtt://other"], "x", "y"));
        assert!(own.update.enrolled_keys.is_empty());
        let packaged = with(&folder, "[update]\nkeys = ['/usr/share/lapwing/release.pub']\n");
        assert_eq!(packaged.update.enrolled_keys.len(), 1, "of the package, not of the operator");
        let warnings = own.identity_warnings().join("\n");
        assert!(warnings.contains("the certificate is for attic") && warnings.contains("use mqtts://"), "{warnings}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_operator_is_warned_before_and_after_the_certificate_ends() {
        let now_s = clock::at_least_s().unwrap();
        for (until_s, expected) in [(now_s + 30 * 86_400 + 60, "expires in 30 days"), (now_s - 1, "has expired")] {
            let folder = folder(expected.split(' ').next().unwrap(), until_s);
            let warnings = with(&folder, "").identity_warnings();
            assert!(warnings.len() == 1 && warnings[0].contains(expected), "{warnings:?}");
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }

    #[test]
    fn a_certificate_of_a_short_life_that_was_just_issued_is_no_reason_to_warn() {
        let now_s = clock::at_least_s().unwrap();
        let mut config = with(&folder("short", now_s + 30 * 86_400), "");
        let warnings = |config: &mut Config, issued_s: u64| {
            config.identity.as_mut().unwrap().enrolled.issued_s = issued_s;
            config.identity_warnings()
        };
        assert_eq!(warnings(&mut config, now_s), Vec::<String>::new());
        assert_eq!(warnings(&mut config, now_s - 365 * 86_400).len(), 1);
        std::fs::remove_dir_all(config.update.version_dir.as_ref().unwrap()).unwrap();
    }

    #[test]
    fn a_token_of_the_configuration_is_for_agents_without_an_identity() {
        let text = format!("[mqtt]\ntoken = '{}'\n", Token::new([1; 32], 7, [5; 16], "hub.lan:8481").unwrap().text());
        let folder = folder("token", u64::MAX);
        assert_eq!(with(&folder, &text).enrolment_token(), None);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(with(&folder, &text).enrolment_token().map(|token| token.port()), Some(8481));
        assert_eq!(Config::parse(&text).unwrap().enrolment_token(), None, "no folder for the identity");
    }

    #[test]
    fn a_damaged_identity_leaves_an_agent_that_detects() {
        let folder = folder("damaged", u64::MAX);
        std::fs::write(folder.join("identity"), b"x").unwrap();
        assert_eq!(with(&folder, "").identity, None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
