//! `serve`: what may be said on its command line, and how it is carried out.

use super::write_address;
use crate::cli::StoreArgs;
use crate::config::{Config, Span};
use crate::predict::Model;
use crate::serve;
use crate::serve::make::ReleaseMaker;
use crate::web::{Site, WebServer, server};
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Address of the embedded broker (127.0.0.1:1883); port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "broker")]
    pub listen: Option<SocketAddr>,
    /// Use this broker instead of the embedded one: `mqtt://user:password@host:port`, or mqtts.
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// PEM file with the authority that an mqtts broker's certificate comes from [default: those that the system trusts].
    #[arg(long, value_name = "FILE")]
    pub authority: Option<PathBuf>,
    /// Group of agents that releases are for (default).
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Secret key that signs releases.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Folder of release files (releases).
    #[arg(long, value_name = "FOLDER")]
    pub releases: Option<PathBuf>,
    /// Make a release so often, like 7d; without it never by the clock.
    #[arg(long = "retrain-every", visible_alias = "every", value_name = "SPAN")]
    pub every: Option<Span>,
    /// Make a release after so many new feature rows; 0: never by rows.
    #[arg(long = "retrain-after-rows", visible_alias = "after-rows", value_name = "ROWS")]
    pub after_rows: Option<u64>,
    /// Feature rows without which no release is made (2000).
    #[arg(long, value_name = "ROWS")]
    pub min_rows: Option<u64>,
    /// Seed of every random choice in training (1).
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Name the kind of every alert with this two-stage model, as `evaluate --kind capture --method two-stage --namer
    /// random-forest --save` writes it.
    #[arg(long, value_name = "FILE")]
    pub kinds_model: Option<PathBuf>,
    /// Answer `POST /api/v1/predict` with this model, as `evaluate --save` writes it; without any other option of
    /// serve, do only that.
    #[arg(long, value_name = "FILE")]
    pub predict_model: Option<PathBuf>,
    /// Show the fleet in a browser, and as JSON under /api/v1, at this address (127.0.0.1:8480 with --predict-model alone);
    /// port 0 takes a free one. It has no password: bind it to others than this machine only behind something that has.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<SocketAddr>,
    /// Name under which a proxy on this machine reaches the HTTP side; others than the loopback's own are refused there.
    /// May be given again.
    #[arg(long, value_name = "NAME")]
    pub http_name: Vec<String>,
    /// Write the HTTP side's address here once it listens.
    #[arg(long, value_name = "FILE")]
    pub http_address_file: Option<PathBuf>,
    /// Write the embedded broker's address here once it listens.
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<PathBuf>,
}

impl ServeArgs {
    /// The model, when nothing is asked for but to predict.
    fn api_alone(&self) -> Option<&PathBuf> {
        let collects = self.store.config.is_some()
            || self.store.store.is_some()
            || self.listen.is_some()
            || self.broker.is_some()
            || self.group.is_some()
            || self.key.is_some()
            || self.releases.is_some()
            || self.kinds_model.is_some();
        self.predict_model.as_ref().filter(|_| !collects)
    }

    /// The configuration file with the command line before it.
    ///
    /// # Errors
    /// When the file cannot be used, or a value is out of range.
    pub fn configuration(&self) -> anyhow::Result<Config> {
        let mut config = self.store.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
        let take = |from: &Option<PathBuf>, into: &mut PathBuf| from.iter().for_each(|path| into.clone_from(path));
        take(&self.store.store, &mut config.store.path);
        take(&self.releases, &mut config.retrain.releases);
        config.broker.listen = self.listen.unwrap_or(config.broker.listen);
        config.broker.url = self.broker.clone().or(config.broker.url);
        if self.listen.is_some() {
            config.broker.url = None;
        }
        config.broker.authority = self.authority.clone().or(config.broker.authority);
        config.retrain.group = self.group.clone().unwrap_or(config.retrain.group);
        config.retrain.key = self.key.clone().or(config.retrain.key);
        config.retrain.every = self.every.or(config.retrain.every);
        config.retrain.after_rows = self.after_rows.unwrap_or(config.retrain.after_rows);
        config.retrain.min_rows = self.min_rows.unwrap_or(config.retrain.min_rows);
        config.retrain.seed = self.seed.unwrap_or(config.retrain.seed);
        config.http.listen = self.http.or(config.http.listen);
        config.http.names.extend(self.http_name.iter().cloned());
        config.kinds.model = self.kinds_model.clone().or(config.kinds.model);
        config.check()?;
        Ok(config)
    }
}

/// Where the HTTP side listens when only predictions are asked for.
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8480);

pub(crate) fn run_serve(args: ServeArgs, maker: Arc<dyn ReleaseMaker>) -> anyhow::Result<()> {
    let model = args.predict_model.as_deref().map(Model::load).transpose()?.map(Arc::new);
    if args.api_alone().is_some() {
        return serve_api(model, &args);
    }
    let config = args.configuration()?;
    let address = config.http.listen.or(model.as_ref().map(|_| HTTP));
    let site = Site {
        store: Some(config.store.path.clone()),
        model,
        min_rows: config.retrain.min_rows,
        names: config.http.names.clone(),
        ..Site::default()
    };
    let (told, told_http) = (args.address_file, args.http_address_file);
    let (mut web, mut unwritten) = (Ok(None), Ok(()));
    // The store is there by then, for whoever looks at once.
    let ready = |broker: Option<SocketAddr>| {
        web = address.map(|address| WebServer::start(site, address)).transpose();
        let listening = web.as_ref().ok().and_then(Option::as_ref).map(|web| web.address);
        unwritten =
            write_address(told_http.as_deref(), listening).and_then(|()| write_address(told.as_deref(), broker));
        web.is_ok()
    };
    let served = serve::run(config, maker, ready);
    web?.map(WebServer::stop).transpose()?;
    served?;
    unwritten
}

fn serve_api(model: Option<Arc<Model>>, args: &ServeArgs) -> anyhow::Result<()> {
    let told = args.http_address_file.as_deref();
    let site = Site { model, names: args.http_name.clone(), ..Site::default() };
    let mut unwritten = Ok(());
    server::run(site, args.http.unwrap_or(HTTP), |address| unwritten = write_address(told, Some(address)))?;
    unwritten
}
