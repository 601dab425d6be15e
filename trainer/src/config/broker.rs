//! `[broker]`: the embedded broker, or a list of outside ones.

use super::{Config, ConfigError};
use lapwing_collect::broker::BrokerLimits;
use lapwing_collect::outside::Outside;
use lapwing_shared::messages::access::is_service_name;
use lapwing_shared::messages::broker_url::BrokerUrl;
use lapwing_shared::release::name::{NAME_RULE, parse_name};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Limit on outside brokers: each has two threads and at most 3,072 messages in its queue.
const MAX_BROKERS: usize = 16;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BrokerSection {
    /// Address of the embedded broker.
    pub(crate) listen: SocketAddr,
    /// Address of the embedded broker's port for clients with certificates. Default: none.
    pub(crate) tls_listen: Option<SocketAddr>,
    /// Names and addresses for its certificate, in addition to those in `[enrolment]`.
    pub(crate) names: Vec<String>,
    /// PEM file with its certificate. Default: one that the trainer's authority issues and renews.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file with the key of this certificate.
    pub(crate) key: Option<PathBuf>,
    /// PEM file with the authorities of clients, with `certificate`.
    pub(crate) trusted: Option<PathBuf>,
    /// Common names of certificates of programs that may read alerts and statuses at this port.
    pub(crate) readers: Vec<String>,
    /// Maximum average KiB per second of one identity at this port.
    pub(crate) agent_kib: u32,
    /// Use this broker instead of the embedded one.
    pub(crate) url: Option<String>,
    /// Use these brokers, in addition to `url`: every agent may use any of them.
    pub(crate) urls: Vec<String>,
    /// PEM file with the certificate authority of an `mqtts` broker. Default: the system's authorities.
    pub(crate) authority: Option<PathBuf>,
    /// MQTT client identifier at every outside broker; each collector needs its own. No agent's name begins with `_`: at
    /// brokers that take client identifiers from certificates, an agent of this name would take over the session.
    pub(crate) client: String,
    /// Name of the shared subscriptions at an outside broker: collectors with the same name divide the messages between
    /// them, and each stores a part. Default: the number of the store, so that each trainer receives all messages.
    pub(crate) share: Option<String>,
    /// Let the embedded broker listen on other addresses than the loopback.
    pub(crate) insecure: bool,
    /// Maximum number of connections to the embedded broker.
    pub(crate) connections: usize,
    /// Maximum number of connections from one address to the embedded broker; unlimited on the loopback.
    pub(crate) address_connections: usize,
    /// Messages that the embedded broker queues for the collector, MiB.
    pub(crate) held_mib: usize,
}

impl BrokerSection {
    /// Outside brokers.
    fn urls(&self) -> impl Iterator<Item = &String> {
        self.url.iter().chain(&self.urls)
    }

    pub(crate) fn is_external(&self) -> bool {
        self.urls().next().is_some()
    }
}

impl Default for BrokerSection {
    fn default() -> Self {
        let limits = BrokerLimits::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            tls_listen: None,
            names: Vec::new(),
            certificate: None,
            key: None,
            trusted: None,
            readers: Vec::new(),
            agent_kib: limits.agent_kib,
            url: None,
            urls: Vec::new(),
            authority: None,
            client: "_lapwing-trainer".into(),
            share: None,
            insecure: false,
            connections: limits.connections,
            address_connections: limits.address_connections,
            held_mib: limits.held_bytes >> 20,
        }
    }
}

impl Config {
    /// Checks the share name, and that only the loopback reaches the embedded broker unless the operator allows more.
    pub(super) fn check_broker(&self) -> Result<(), ConfigError> {
        let BrokerSection { listen, share, insecure, .. } = &self.broker;
        if let Some(share) = share.as_ref().filter(|share| parse_name(share).is_none()) {
            return Err(ConfigError::value("broker.share", share, "expected 1 to 32 of a-z A-Z 0-9 - _ ."));
        }
        self.check_urls()?;
        self.check_tls()?;
        if !self.broker.is_external() && !listen.ip().is_loopback() && !insecure {
            let why = "this port has no passwords and no TLS, so it listens on the loopback only; use broker.tls-listen or \
                       an external broker (broker.url), or set broker.insecure = true (--broker-insecure)";
            return Err(ConfigError::value("broker.listen", listen, why));
        }
        Ok(())
    }

    /// The name that no agent gets, because the trainer's session at a broker has it.
    pub(crate) fn reserved_name(&self) -> Option<&str> {
        Some(self.broker.client.as_str()).filter(|client| parse_name(client).is_some())
    }

    /// Refuses the reserved name.
    ///
    /// # Errors
    /// When an agent of this name could take over the trainer's session.
    pub(crate) fn check_agent_name(&self, name: &str) -> Result<(), ConfigError> {
        let expected = "an agent cannot have this name: it could take over the trainer's session; choose another name";
        match self.reserved_name() {
            Some(reserved) if reserved == name => Err(ConfigError::value("broker.client", reserved, expected)),
            _ => Ok(()),
        }
    }

    /// Why an agent could take over the trainer's session at a broker.
    pub(crate) fn client_warning(&self) -> Option<String> {
        let name = self.reserved_name().filter(|_| self.broker.is_external())?;
        let enrols = self.enrolment.listen.is_some() || self.enrolment.address.is_some();
        enrols.then(|| {
            format!(
                "MQTT client identifier {name} could be an agent's name: an agent enrolled as {name} could take over the \
                 trainer's session; begin broker.client (--client) with `_`"
            )
        })
    }

    /// Checks the port for clients with certificates.
    fn check_tls(&self) -> Result<(), ConfigError> {
        let BrokerSection { tls_listen, certificate, key, trusted, readers, .. } = &self.broker;
        for reader in readers {
            if !is_service_name(reader) {
                let expected = format!("expected `_` and a name; {NAME_RULE}");
                return Err(ConfigError::value("broker.readers", reader, expected));
            }
        }
        let Some(listen) = tls_listen.filter(|_| !self.broker.is_external()) else { return Ok(()) };
        let files = [certificate, key, trusted].into_iter().filter(|file| file.is_some()).count();
        if files % 3 != 0 {
            let why = "expected broker.certificate, broker.key and broker.trusted, or none of them";
            return Err(ConfigError::value("broker.tls-listen", listen, why));
        }
        if files == 0 && self.tls_names().is_empty() {
            let why = "expected enrolment.address or broker.names, by which agents reach this port";
            return Err(ConfigError::value("broker.tls-listen", listen, why));
        }
        Ok(())
    }

    /// Names and addresses for the certificate of the embedded broker.
    pub(crate) fn tls_names(&self) -> Vec<String> {
        let of_urls = self.enrolment.brokers.iter().filter_map(|url| url.parse::<BrokerUrl>().ok()).map(|url| url.host);
        let of_urls = of_urls.map(|host| host.trim_matches(|end| matches!(end, '[' | ']')).to_owned());
        let mut names: Vec<String> = self.broker.names.clone();
        for name in self.enrolment.server_names().into_iter().chain(of_urls) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// URLs of the brokers that enrolled agents get: `enrolment.brokers`, or else the embedded broker's port with TLS.
    pub(crate) fn agents_brokers(&self) -> Vec<String> {
        let (given, names) = (&self.enrolment.brokers, self.enrolment.server_names());
        match (
            self.broker.tls_listen.filter(|_| !self.broker.is_external()),
            names.first().or(self.broker.names.first()),
        ) {
            (Some(listen), Some(host)) if given.is_empty() => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                vec![format!("mqtts://{host}:{}", listen.port())]
            }
            _ => given.clone(),
        }
    }

    /// Two links to one broker would take the connection from each other.
    fn check_urls(&self) -> Result<(), ConfigError> {
        let count = self.broker.urls().count();
        if count > MAX_BROKERS {
            return Err(ConfigError::value("broker.urls", count, format!("expected at most {MAX_BROKERS} brokers")));
        }
        let mut places = BTreeSet::new();
        for url in self.broker.urls() {
            // An invalid URL is reported when the link is started.
            let Ok(url) = url.parse::<BrokerUrl>() else { continue };
            if !places.insert((url.host.clone(), url.port)) {
                return Err(ConfigError::value("broker.urls", url, "expected each broker once"));
            }
        }
        Ok(())
    }

    /// The embedded broker's limits.
    pub(crate) fn broker_limits(&self) -> BrokerLimits {
        let BrokerSection { connections, address_connections, held_mib, agent_kib, .. } = self.broker;
        let (held_bytes, agent_packets) = (held_mib << 20, self.collect.agent_rate);
        let others = BrokerLimits::default();
        BrokerLimits { connections, address_connections, held_bytes, agent_packets, agent_kib, ..others }
    }

    /// The outside brokers; empty for the embedded one. The store's number is the default share name. A process that does
    /// not collect publishes only.
    pub(crate) fn outside(&self, store_id: u64, collects: bool) -> Vec<Outside> {
        let BrokerSection { client, authority, share, .. } = &self.broker;
        let share = share.clone().unwrap_or_else(|| format!("{store_id:x}"));
        let outside = |url: &String| {
            let (url, share) = (url.clone(), share.clone());
            Outside { url, client: client.clone(), authority: authority.clone(), share, collects }
        };
        self.broker.urls().map(outside).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;

    #[test]
    fn the_embedded_broker_leaves_the_loopback_only_on_request() {
        for listen in ["0.0.0.0:1883", "192.0.2.1:1883", "[::]:1883"] {
            let error = load(&format!("[broker]\nlisten = '{listen}'\n")).unwrap_err().to_string();
            assert!(error.contains("loopback only") && error.contains("broker.insecure = true"), "{error}");
            assert!(load(&format!("[broker]\nlisten = '{listen}'\ninsecure = true\n")).is_ok());
            assert!(load(&format!("[broker]\nlisten = '{listen}'\nurl = 'mqtt://host'\n")).is_ok());
        }
        assert!(load("[broker]\nlisten = '[::1]:1883'\n").is_ok());
        assert!(load("[broker]\nshare = 'a/b'\n").unwrap_err().to_string().contains("broker.share = a/b"));
    }

    #[test]
    fn an_identifier_that_an_agent_could_have_is_reserved_and_warned_of() {
        let default = Config::default();
        assert!(is_service_name(&default.broker.client), "{}", default.broker.client);
        assert_eq!(default.reserved_name(), None);
        assert!(default.check_agent_name("lapwing-trainer").is_ok());
        let broker = "[broker]\nurl = 'mqtt://hub'\nclient = 'site-1'\n";
        let enrols = "[enrolment]\naddress = 'hub:8481'\n";
        let config = load(&format!("{broker}{enrols}")).unwrap();
        assert!(config.client_warning().unwrap().contains("site-1 could be an agent's name"));
        let error = config.check_agent_name("site-1").unwrap_err().to_string();
        assert!(error.contains("broker.client = site-1: an agent cannot have this name"), "{error}");
        assert!(config.check_agent_name("site-2").is_ok());
        assert_eq!(load(broker).unwrap().client_warning(), None, "nothing is enrolled");
        let marked = load(&format!("{broker}{enrols}").replace("site-1", "_site-1")).unwrap();
        assert_eq!((marked.client_warning(), marked.reserved_name()), (None, None));
        let embedded = load(&format!("[broker]\nclient = 'site-1'\n{enrols}")).unwrap();
        assert_eq!(embedded.client_warning(), None, "the trainer is no client of its own broker");
    }

    #[test]
    fn the_port_for_certificates_has_a_name_and_all_files_or_none() {
        let error =
            |text: &str| load(&format!("[broker]\ntls-listen = '[::]:8883'\n{text}\n")).unwrap_err().to_string();
        assert!(error("").contains("expected enrolment.address or broker.names"));
        assert!(error("names = ['hub']\ncertificate = 'hub.pem'").contains("broker.trusted, or none of them"));
        assert!(error("names = ['hub']\nreaders = ['hass']").contains("expected `_` and a name"));
        let config = load(
            "[broker]\ntls-listen = '[::]:8883'\nnames = ['hub.lan']\nreaders = ['_hass']\n\
             [enrolment]\naddress = '[fd00::1]:8481'\n",
        )
        .unwrap();
        assert_eq!(config.tls_names(), ["hub.lan", "fd00::1"]);
        assert_eq!(config.agents_brokers(), ["mqtts://[fd00::1]:8883"]);
        let config =
            load("[broker]\ntls-listen = '[::]:8883'\nurl = 'mqtt://hub'\n[enrolment]\naddress = 'hub:1'\n").unwrap();
        assert!(config.agents_brokers().is_empty(), "an external broker has an address that this file does not know");
        let config =
            load("[broker]\ntls-listen = '[::]:8883'\n[enrolment]\nbrokers = ['mqtts://a', 'mqtts://b:1']\n").unwrap();
        assert_eq!(config.tls_names(), ["a", "b"]);
        assert_eq!(config.agents_brokers(), ["mqtts://a", "mqtts://b:1"]);
    }

    #[test]
    fn several_brokers_are_a_list_and_each_may_be_named_once() {
        let config = load("[broker]\nurl = 'mqtt://a'\nurls = ['mqtt://b:1884', 'mqtts://b']\nshare = 's'\n").unwrap();
        let outside = config.outside(7, true);
        let urls: Vec<&str> = outside.iter().map(|outside| outside.url.as_str()).collect();
        assert_eq!(urls, ["mqtt://a", "mqtt://b:1884", "mqtts://b"]);
        assert!(outside.iter().all(|outside| outside.share == "s"));
        assert!(Config::default().outside(7, true).is_empty());
        let error = load("[broker]\nurls = ['mqtt://me:secret@a', 'mqtt://a:1883']\n").unwrap_err().to_string();
        assert_eq!(error, "broker.urls = mqtt://a:1883: expected each broker once");
        let many = (0..17).map(|number| format!("'mqtt://b{number}'")).collect::<Vec<_>>().join(", ");
        assert!(load(&format!("[broker]\nurls = [{many}]\n")).unwrap_err().to_string().contains("at most 16"));
    }
}
