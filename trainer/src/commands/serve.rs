//! Command line and configuration file → a running server: `serve`.

use super::store_args::StoreArgs;
use super::write_address;
use crate::config::{Config, Span};
use crate::serve::roles::{Instance, Role, Roles};
use crate::serve::web_tls::WebTlsWatch;
use crate::serve::{self, SegmentCount, Server};
use anyhow::{Context, anyhow};
use clap::Args;
use lapwing_authority::{EnrolmentPort, PortCount, PortCounts, random};
use lapwing_common::clock;
use lapwing_common::print_line;
use lapwing_models::Model;
use lapwing_people::Secret;
use lapwing_pipeline::order::ReleaseMaker;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::enrolment::ending_s;
use lapwing_store::StoreHandle;
use lapwing_web::{Brokers, Counter, CounterSource, GroupPlan, Plans, Process, Site, WebServer, server};
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

/// `serve`. Options override the corresponding configuration keys.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Store.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Parts of the trainer that this process runs, comma-separated. Several processes need PostgreSQL and external brokers
    /// [default: all].
    #[arg(long, value_name = "ROLE", value_delimiter = ',', conflicts_with = "instance")]
    pub(crate) roles: Vec<Role>,
    /// Name of this process among several: roles joined with `-`, and a number if several have the same, e.g. collect-1 or
    /// train-publish. Sets --roles, and --client to lapwing-NAME [default: none].
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<Instance>,
    /// Address of the embedded broker; port 0 picks a free port [default: 127.0.0.1:1883].
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "broker")]
    pub(crate) listen: Option<SocketAddr>,
    /// Let the embedded broker listen on other addresses than the loopback, though it has no passwords and no TLS.
    #[arg(long, conflicts_with = "broker")]
    pub(crate) broker_insecure: bool,
    /// Use this broker instead of the embedded one: `mqtt://user:password@host:port` or `mqtts://…`. Repeatable, at most 16:
    /// every agent may use any of them.
    #[arg(long, value_name = "URL")]
    pub(crate) broker: Vec<String>,
    /// MQTT client identifier at external brokers; each process needs its own [default: _lapwing-trainer].
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<String>,
    /// PEM file with the certificate authority of an mqtts broker [default: the system's authorities].
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: Option<PathBuf>,
    /// Group of agents to create releases for; several need [[groups]] in the configuration file [default: default].
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Secret key that signs releases; required for retraining [default: none].
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Folder for release files [default: releases].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) releases: Option<PathBuf>,
    /// Retraining interval, e.g. 7d [default: none, no scheduled retraining].
    #[arg(long = "retrain-every", visible_alias = "every", value_name = "SPAN")]
    pub(crate) every: Option<Span>,
    /// Retrain after this many new feature rows; 0 disables it [default: 0].
    #[arg(long = "retrain-after-rows", visible_alias = "after-rows", value_name = "ROWS")]
    pub(crate) after_rows: Option<u64>,
    /// Minimum number of feature rows for training [default: 2000].
    #[arg(long, value_name = "ROWS")]
    pub(crate) min_rows: Option<u64>,
    /// Maximum share of the rows of one agent in a training, above 0 to 1; 1 disables the limit [default: 0.5].
    #[arg(long, value_name = "SHARE")]
    pub(crate) max_agent_share: Option<f64>,
    /// Random seed for training [default: 1].
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Classify the attack type of every alert with this two-stage model, as written by `lapwing-lab evaluate --kind
    /// capture --method two-stage --save` [default: none, alerts are not classified].
    #[arg(long, value_name = "FILE")]
    pub(crate) kinds_model: Option<PathBuf>,
    /// Serve `POST /api/v1/predict` with this model, as written by `lapwing-lab evaluate --save`. Without options for
    /// store, broker, group, key or releases, serve only the HTTP API.
    #[arg(long, value_name = "FILE")]
    pub(crate) predict_model: Option<PathBuf>,
    /// Address of the dashboard and the HTTP API; port 0 picks a free port. A non-loopback address needs TLS or a trusted
    /// proxy ([http] in the configuration file), and then everybody signs in [default: none; 127.0.0.1:8480 with
    /// --predict-model].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<SocketAddr>,
    /// Host name under which users or a proxy reach the dashboard. Requests for other names than this and the address it
    /// listens on are rejected. Repeatable.
    #[arg(long, value_name = "NAME")]
    pub(crate) http_name: Vec<String>,
    /// Write the address of the dashboard to this file once it listens.
    #[arg(long, value_name = "FILE")]
    pub(crate) http_address_file: Option<PathBuf>,
    /// Write the address of the embedded broker to this file once it listens.
    #[arg(long, value_name = "FILE")]
    pub(crate) address_file: Option<PathBuf>,
}

impl ServeArgs {
    /// The model, if the options ask for predictions only.
    fn predictions_only(&self) -> Option<&PathBuf> {
        let collects = self.store.config.is_some()
            || self.store.store.is_some()
            || self.listen.is_some()
            || !self.broker.is_empty()
            || self.group.is_some()
            || self.key.is_some()
            || self.releases.is_some()
            || self.kinds_model.is_some()
            || !self.roles.is_empty()
            || self.instance.is_some();
        self.predict_model.as_ref().filter(|_| !collects)
    }

    /// The configuration file, overridden by the command line.
    ///
    /// # Errors
    /// When the file cannot be used, or a value is out of range.
    pub(crate) fn configuration(&self) -> anyhow::Result<Config> {
        let mut config = self.store.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
        let set = |from: &Option<PathBuf>, into: &mut PathBuf| from.iter().for_each(|path| into.clone_from(path));
        config.store.path = self.store.store.clone().unwrap_or(config.store.path);
        set(&self.releases, &mut config.retrain.releases);
        config.broker.listen = self.listen.unwrap_or(config.broker.listen);
        config.broker.insecure |= self.broker_insecure;
        if self.listen.is_some() || !self.broker.is_empty() {
            (config.broker.url, config.broker.urls) = (None, self.broker.clone());
        }
        config.broker.authority = self.authority.clone().or(config.broker.authority);
        let client = self.client.clone().or_else(|| self.instance.as_ref().map(Instance::client));
        config.broker.client = client.unwrap_or(config.broker.client);
        config.retrain.group = self.group.clone().unwrap_or(config.retrain.group);
        config.retrain.key = self.key.clone().or(config.retrain.key);
        config.retrain.every = self.every.or(config.retrain.every);
        config.retrain.after_rows = self.after_rows.unwrap_or(config.retrain.after_rows);
        config.retrain.min_rows = self.min_rows.unwrap_or(config.retrain.min_rows);
        config.retrain.max_agent_share = self.max_agent_share.unwrap_or(config.retrain.max_agent_share);
        config.retrain.seed = self.seed.unwrap_or(config.retrain.seed);
        config.http.listen = self.http.or(config.http.listen);
        config.http.names.extend(self.http_name.iter().cloned());
        config.kinds.model = self.kinds_model.clone().or(config.kinds.model);
        config.check()?;
        Ok(config)
    }

    /// The roles, checked against the configuration, and the address of the dashboard or, without the role `web`, of the
    /// metrics: the configuration's address belongs to the web server.
    ///
    /// # Errors
    /// When a role lacks what it needs.
    pub(crate) fn roles(&self, config: &Config) -> anyhow::Result<(Roles, Option<SocketAddr>)> {
        let roles = Roles::new(self.instance.as_ref().map_or(&self.roles, |instance| &instance.roles));
        let address = if roles.has(Role::Web) { config.http.listen } else { self.http };
        roles.check(config, address)?;
        Ok((roles, address))
    }
}

/// Default HTTP address with `--predict-model`.
const PREDICT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8480);

pub(crate) fn run_serve(args: ServeArgs, maker: Arc<dyn ReleaseMaker>) -> anyhow::Result<()> {
    let model = args.predict_model.as_deref().map(Model::load).transpose()?.map(Arc::new);
    if args.predictions_only().is_some() {
        return serve_api(model, &args);
    }
    let config = args.configuration()?;
    let (roles, address) = args.roles(&config)?;
    if roles.has(Role::Train) {
        check_keys(&config)?;
    }
    if let Some(warning) = config.client_warning() {
        tracing::warn!("{warning}");
    }
    if roles.has(Role::Publish) {
        check_rollout_keys(&config)?;
    }
    if cfg!(panic = "abort") {
        tracing::warn!("this program ends at the first panic of any connection; build servers with --profile server");
    }
    let address = address.or(model.as_ref().map(|_| PREDICT_ADDRESS));
    let site = Site {
        store: roles.has(Role::Web).then(|| config.store.path.clone()),
        model,
        min_rows: config.groups().iter().map(|group| group.min_rows).min().unwrap_or(0),
        ending_s: ending_s(config.enrolment.lifetime_s()),
        names: config.http.names.clone(),
        login: config.login(),
        plans: Some(plans(&config)),
        ..Site::default()
    };
    let shows_pages = roles.has(Role::Web);
    let (broker_file, http_file) = (args.address_file, args.http_address_file);
    let (mut web, mut port, mut written) = (Ok(None), Ok(None), Ok(()));
    let enrolment = config.clone();
    // Runs once the store is open, so that the first request finds it.
    let ready = |server: &Server| {
        port = start_port(&enrolment, &roles);
        let enrolled = port.as_ref().ok().and_then(|port| port.as_ref().map(|port| Arc::clone(&port.counts)));
        let counts = [Role::Collect, Role::Train, Role::Publish].into_iter().any(|role| roles.has(role));
        let counts = counts || enrolled.is_some();
        let counters = counts.then(|| counters(server, &roles, enrolled));
        let site = Site { counters, brokers: Some(brokers(server)), process: Some(process(server)), ..site };
        web = address.map(|address| start_web(site, address, &enrolment)).transpose();
        let listening = web.as_ref().ok().and_then(Option::as_ref).map(|(web, _)| web.address);
        if let Some(address) = listening.filter(|_| shows_pages)
            && let Err(error) = offer_first_link(&enrolment, address)
        {
            tracing::warn!(error = format!("{error:#}"), "cannot make a link for the first person");
        }
        written = write_address(http_file.as_deref(), listening)
            .and_then(|()| write_address(broker_file.as_deref(), server.address()));
        web.is_ok() && port.is_ok()
    };
    let served = serve::run(config, &roles, maker, ready);
    web?.map(|(web, _watch)| web.stop()).transpose()?;
    port?.map(EnrolmentPort::stop).transpose()?;
    served?;
    written
}

/// The web server, and what renews its certificate.
fn start_web(site: Site, address: SocketAddr, config: &Config) -> anyhow::Result<(WebServer, Option<WebTlsWatch>)> {
    let (tls, watch) = WebTlsWatch::start(config, address, clock::now_s())?.unzip();
    // The error's text contains its cause.
    let web = WebServer::start(Site { tls, ..site }, address).map_err(|error| anyhow!(error.to_string()))?;
    Ok((web, watch))
}

/// Prints the link that adds the first person, if there are no people yet and a person reads the terminal. It is in no log: those
/// who read the log could use it.
fn offer_first_link(config: &Config, address: SocketAddr) -> anyhow::Result<()> {
    let handle = StoreHandle::open(&config.store.path)?;
    if handle.has_people()? {
        return Ok(());
    }
    if config.http.user_header.is_some() || !std::io::stdout().is_terminal() {
        tracing::info!("no one can sign in yet; run `lapwing-trainer people add NAME --role administrator`");
        return Ok(());
    }
    let secret = Secret::new(random()?);
    if handle.add_first_link(&secret.sha256(), clock::now_s())? {
        let (url, link) = (config.http.base_url(Some(address)), secret.text());
        print_line!("No one can sign in yet. To add the first person, open within an hour: {url}/link/{link}");
    }
    Ok(())
}

/// The enrolment port, with the role and an address.
fn start_port(config: &Config, roles: &Roles) -> anyhow::Result<Option<EnrolmentPort>> {
    let section = &config.enrolment;
    let Some(listen) = section.listen.filter(|_| roles.has(Role::Enroll)) else { return Ok(None) };
    let brokers = config.agents_brokers();
    if brokers.is_empty() {
        tracing::warn!("no enrolment.brokers: enrolled agents need a broker in their configuration");
    }
    let store = StoreHandle::open(&config.store.path)?;
    let authority = section.authority_of(&store, clock::now_s())?;
    Ok(Some(EnrolmentPort::start(authority, store, config.grants(brokers)?, section.server_names(), listen)?))
}

/// Reads the plans of groups, for campaigns that are started on a page.
fn plans(config: &Config) -> Plans {
    let config = config.clone();
    Arc::new(move |group| {
        let plan = config.rollout_of(group).plan().map_err(|error| error.to_string())?;
        Ok(GroupPlan { plan, has_gate: config.has_gate(group) })
    })
}

/// State of the server's links, for the dashboard.
fn brokers(server: &Server) -> Brokers {
    let links = server.brokers().to_vec();
    Arc::new(move || links.iter().map(|link| link.snapshot()).collect())
}

/// Roles and leases, for the dashboard.
fn process(server: &Server) -> Process {
    let state = server.process();
    Arc::new(move || state.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Counters of the collector, of segments in a process that may move rows to them, and of the enrolment port, for the
/// dashboard.
fn counters(server: &Server, roles: &Roles, enrolled: Option<Arc<PortCounts>>) -> CounterSource {
    // The role publish counts rollouts and campaigns.
    let counts = (server.collects() || roles.has(Role::Publish)).then(|| Arc::clone(server.counts()));
    let roster = server.collects().then(|| Arc::clone(server.roster()));
    let segments = roles.has(Role::Train).then(|| Arc::clone(server.segment_counts()));
    CounterSource::new(move || {
        let counted = counts.iter().flat_map(|counts| {
            let snapshot = counts.snapshot();
            let counter = |(name, text, value)| Counter { name, text, value, is_gauge: false };
            snapshot.named().map(counter).collect::<Vec<_>>()
        });
        let of_segments = segments.iter().flat_map(|segments| segments.named()).map(|count| {
            let SegmentCount { name, text, value, is_gauge } = count;
            Counter { name, text, value, is_gauge }
        });
        let of_port = enrolled.iter().flat_map(|counts| counts.named());
        let of_port = of_port.map(|PortCount { name, text, value }| Counter { name, text, value, is_gauge: false });
        let identities = roster.iter().map(|roster| Counter {
            name: "identities",
            text: "Identities that broker and collector know.",
            value: roster.count() as u64,
            is_gauge: true,
        });
        counted.chain(of_segments).chain(of_port).chain(identities).collect()
    })
}

/// Reads the keys that sign releases: a problem with them should not wait until the first training has ended.
fn check_keys(config: &Config) -> anyhow::Result<()> {
    for group in config.groups() {
        let Some(path) = &group.key else { continue };
        let context = || format!("--key (retrain.key, or key of group {}) cannot sign releases", group.group);
        ReleaseKey::load(path).map(drop).with_context(context)?;
    }
    Ok(())
}

/// Reads the keys that sign rollouts, for the same reason.
fn check_rollout_keys(config: &Config) -> anyhow::Result<()> {
    for group in config.groups() {
        let Some(path) = config.rollout_of(&group.group).key else { continue };
        let context = || format!("rollout.key of group {} cannot sign rollouts", group.group);
        ReleaseKey::load(&path).map(drop).with_context(context)?;
    }
    Ok(())
}

fn serve_api(model: Option<Arc<Model>>, args: &ServeArgs) -> anyhow::Result<()> {
    let file = args.http_address_file.as_deref();
    let site = Site { model, names: args.http_name.clone(), ..Site::default() };
    let mut written = Ok(());
    server::run(site, args.http.unwrap_or(PREDICT_ADDRESS), |address| written = write_address(file, Some(address)))?;
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::release::signature::KeyUse;
    use lapwing_store::testing::Folder;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_profile_for_servers_unwinds() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(manifest["profile"]["server"]["panic"].as_str(), Some("unwind"));
    }

    #[test]
    fn a_key_that_cannot_sign_is_rejected_at_the_start() {
        let folder = Folder::new();
        let path = |name: &str| folder.path().join(name);
        ReleaseKey::from_secret("site", &[7; 32])
            .unwrap()
            .save(&path("site.key"), &path("site.pub"), KeyUse::Any, None)
            .unwrap();
        let check = |name: &str| {
            let mut config = Config::default();
            config.retrain.key = Some(path(name));
            check_keys(&config).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(check("site.key"), Ok(()));
        for name in ["missing.key", "site.pub"] {
            let error = check(name).unwrap_err();
            assert!(error.contains("--key") && error.contains(name), "{error}");
        }
        let check_rollout = |name: &str| {
            let mut config = Config::default();
            config.rollout.key = Some(path(name));
            check_rollout_keys(&config).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(check_rollout("site.key"), Ok(()));
        let error = check_rollout("missing.key").unwrap_err();
        assert!(error.contains("rollout.key of group default") && error.contains("missing.key"), "{error}");
        std::fs::set_permissions(path("site.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(check("site.key").unwrap_err().contains("site.key"));
        assert!(check_rollout("site.key").unwrap_err().contains("chmod 600"));
    }
}
