//! `[enrolment]`: the port on which agents enrol, the authority, and what agents get.

use super::{Config, ConfigError, Span, millis};
use crate::access::service_name;
use anyhow::Context;
use lapwing_authority::{Authority, AuthorityError, Grants, Passphrase};
use lapwing_shared::enrolment::{BROKERS, Token};
use lapwing_shared::messages::access::TRAINER;
use lapwing_shared::messages::broker_url::BrokerUrl;
use lapwing_shared::release::signature::{TRUSTED_KEYS, TrustedKeys};
use lapwing_shared::units::Nanos;
use lapwing_store::StoreHandle;
use lapwing_store::traits::IdentityFilter;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// A time in the largest unit that has a whole number of it.
fn described(span: Span) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let millis = millis(span);
    if millis == 0 {
        return "less than 1ms".into();
    }
    let (unit, factor) = units.into_iter().find(|(_, factor)| millis.is_multiple_of(*factor)).unwrap_or(("ms", 1));
    format!("{}{unit}", millis / factor)
}

/// `[enrolment]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct EnrolmentSection {
    /// Address of the enrolment port. Default: none (disabled).
    pub(crate) listen: Option<SocketAddr>,
    /// HOST:PORT by which agents reach the port; a part of every token.
    pub(crate) address: Option<String>,
    /// Further names and addresses for the port's certificate.
    pub(crate) names: Vec<String>,
    /// Folder of the authority's key.
    pub(crate) authority: PathBuf,
    /// File with the passphrase of the authority's key. Default: none (the key is not encrypted).
    pub(crate) passphrase_file: Option<PathBuf>,
    /// URLs of the brokers that agents get.
    pub(crate) brokers: Vec<String>,
    /// Public key files of those who may sign releases.
    pub(crate) keys: Vec<PathBuf>,
    /// Life of agents' certificates.
    pub(crate) lifetime: Span,
    /// File for mosquitto's access list, which `serve` keeps up to date. Default: none.
    pub(crate) access_list: Option<PathBuf>,
    /// Command and arguments that make the broker read the list. Default: none.
    pub(crate) reload: Vec<String>,
    /// User name of the trainer in the list.
    pub(crate) broker_user: String,
}

impl Default for EnrolmentSection {
    fn default() -> Self {
        Self {
            listen: None,
            address: None,
            names: Vec::new(),
            authority: "authority".into(),
            passphrase_file: None,
            brokers: Vec::new(),
            keys: Vec::new(),
            lifetime: Span(Nanos::from_secs(365 * 86_400)),
            access_list: None,
            reload: Vec::new(),
            broker_user: TRAINER.into(),
        }
    }
}

impl EnrolmentSection {
    /// The authority; created if the folder has no authority.
    ///
    /// # Errors
    /// When its files cannot be used.
    pub(crate) fn authority(&self) -> Result<Authority, AuthorityError> {
        Authority::open(&self.authority, self.passphrase()?.as_ref())
    }

    /// The same, created for a store that has no identities yet. For others a missing folder is an error, e.g. not mounted:
    /// agents would reject a new authority.
    ///
    /// # Errors
    /// When its files cannot be used, or the store cannot be read.
    pub(crate) fn authority_of(&self, store: &StoreHandle, now_s: u64) -> anyhow::Result<Authority> {
        let is_new = store.identities(&IdentityFilter { limit: 1, ..IdentityFilter::default() })?.is_empty();
        let passphrase = self.passphrase()?;
        Ok(match is_new {
            true => Authority::open_or_create(&self.authority, passphrase.as_ref(), now_s)?,
            false => Authority::open(&self.authority, passphrase.as_ref())?,
        })
    }

    /// The passphrase of the authority's key, if one is configured.
    ///
    /// # Errors
    /// When its file cannot be used.
    pub(crate) fn passphrase(&self) -> Result<Option<Passphrase>, AuthorityError> {
        self.passphrase_file.as_deref().map(Passphrase::read).transpose()
    }

    /// Names and addresses for the port's certificate.
    pub(crate) fn server_names(&self) -> Vec<String> {
        let token = self.address.as_deref().and_then(|address| Token::new([0; 32], 0, [0; 16], address).ok());
        token.iter().map(|token| token.host().to_owned()).chain(self.names.iter().cloned()).collect()
    }

    /// Life of agents' certificates, seconds.
    pub(crate) fn lifetime_s(&self) -> u64 {
        u64::try_from(millis(self.lifetime) / 1_000).unwrap_or(u64::MAX)
    }
}

impl Config {
    /// What agents get besides their certificates: URLs of brokers, and keys.
    ///
    /// # Errors
    /// When a key file cannot be read.
    pub(crate) fn grants(&self, brokers: Vec<String>) -> anyhow::Result<Grants> {
        let mut keys = Vec::new();
        for path in &self.enrolment.keys {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read key file {}", path.display()))?;
            let parsed = TrustedKeys::parse(&text).with_context(|| path.display().to_string())?;
            keys.extend(parsed.iter().map(ToString::to_string));
        }
        anyhow::ensure!(
            keys.len() <= TRUSTED_KEYS,
            "enrolment.keys: {} keys, expected at most {TRUSTED_KEYS}",
            keys.len()
        );
        let reserved = self.reserved_name().map(str::to_owned);
        Ok(Grants { brokers, keys, lifetime_s: self.enrolment.lifetime_s(), reserved })
    }

    /// Checks `[enrolment]`.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub(super) fn check_enrolment(&self) -> Result<(), ConfigError> {
        let section = &self.enrolment;
        if let Some(address) = &section.address {
            Token::new([0; 32], 0, [0; 16], address)
                .map_err(|error| ConfigError::value("enrolment.address", address, error.to_string()))?;
        }
        if let Some(listen) = section.listen.filter(|_| section.address.is_none()) {
            let expected = "expected enrolment.address = \"HOST:PORT\", by which agents reach this port";
            return Err(ConfigError::value("enrolment.listen", listen, expected));
        }
        for url in &section.brokers {
            let parsed = url
                .parse::<BrokerUrl>()
                .map_err(|error| ConfigError::value("enrolment.brokers", "URL", error.to_string()))?;
            if parsed.login.is_some() {
                let expected = "expected a URL without user and password: agents log in with their certificates";
                return Err(ConfigError::value("enrolment.brokers", &parsed, expected));
            }
        }
        if section.brokers.len() > BROKERS {
            let expected = format!("expected at most {BROKERS} brokers");
            return Err(ConfigError::value("enrolment.brokers", section.brokers.len(), expected));
        }
        if !(DAY_S..=3_650 * DAY_S).contains(&section.lifetime_s()) {
            let value = described(section.lifetime);
            return Err(ConfigError::value("enrolment.lifetime", value, "expected 1d to 3650d"));
        }
        if section.access_list.is_none() && !section.reload.is_empty() {
            let command = section.reload.join(" ");
            return Err(ConfigError::value("enrolment.reload", command, "expected enrolment.access-list, too"));
        }
        service_name(&section.broker_user)
            .map_err(|expected| ConfigError::value("enrolment.broker-user", &section.broker_user, expected))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn a_port_needs_an_address_and_brokers_have_no_passwords() {
        let error = |text: &str| load(&format!("[enrolment]\n{text}\n")).unwrap_err().to_string();
        assert!(error("listen = '[::]:8481'").contains("enrolment.listen = [::]:8481: expected enrolment.address"));
        assert!(error("address = 'hub'").contains("enrolment.address = hub: token: invalid address"));
        let error_of_login = error("brokers = ['mqtts://me:sesame@hub']");
        assert!(error_of_login.contains("without user and password") && !error_of_login.contains("sesame"));
        assert!(
            error("brokers = ['mqtts://a', 'mqtts://b', 'mqtts://c', 'mqtts://d', 'mqtts://e']").contains("at most 4")
        );
        assert!(error("reload = ['true']").contains("expected enrolment.access-list"));
        assert!(error("lifetime = '1.5s'").contains("enrolment.lifetime = 1500ms: "));
        assert!(error("lifetime = '4000d'").contains("enrolment.lifetime = 4000d: "));
        assert!(error("broker-user = 'attic'").contains("enrolment.broker-user = attic: expected `_`"));
        assert!(error("lifetime = '12h'").contains("enrolment.lifetime = 12h: expected 1d to 3650d"));
        let config =
            load("[enrolment]\nlisten = '[::]:8481'\naddress = '[fd00::1]:8481'\nnames = ['hub.lan']\n").unwrap();
        assert_eq!(config.enrolment.server_names(), ["fd00::1", "hub.lan"]);
    }
}
