//! `replay` and `run`: packets through meter and scoring to files, broker and summary.

use crate::capture::{CaptureError, FileSource, PacketSource, Problem};
use crate::cli::Options;
use crate::clock::Stopwatch;
use crate::commands::counted::Counted;
use crate::commands::live;
use crate::config::{Config, ResponseMode};
use crate::confine;
use crate::detector::Engine;
use crate::engines::Engines;
use crate::interruptible;
use crate::network::Network;
use crate::notify::Notifier;
use crate::output::Sink;
use crate::output::features::FeatureWriter;
use crate::output::records::RecordWriter;
use crate::output::summary::{Summary, by_reason, peak_memory_bytes};
use crate::pipeline::{self, WhenBehind};
use crate::publish::session::Fallback;
use crate::release_file::{Loaded, trusted_keys};
use crate::response::Responder;
use crate::sampler::Sampler;
use crate::scoring::{Files, Installed, Scoring};
use crate::shed::{Controller, Shed};
use crate::status::Board;
use crate::status::server::Listeners;
use crate::status::watch::Watch;
use crate::update::engine::InstalledRelease;
use lapwing_live::Shared;
use lapwing_shared::features::meter::Meter;
use lapwing_shared::packet::RefusalCounts;
use lapwing_shared::verdict::judge::Judge;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where packets come from.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// Capture files, one after the other.
    Files(&'a [PathBuf]),
    /// A capture file or pipe, with all that a run has.
    Pipe(&'a PathBuf),
    /// The configured interfaces, or the LAN's.
    Interfaces,
}

/// Reads the input to its end, or until `stopped` is set; prints the summary to standard error and, where asked, to a
/// file. `before_threads` is called once privileges are gone and before the first thread starts.
///
/// # Errors
/// When an input cannot be read, a release is wrong, or a result cannot be written. What was read before is scored,
/// written and counted in the summary all the same.
pub fn meter(
    input: Input<'_>,
    options: &Options,
    stopped: &Arc<AtomicBool>,
    before_threads: &dyn Fn() -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let mut config = options.configuration()?;
    let stop = || stopped.load(Ordering::Relaxed);
    let mut run = Run::default();
    let (paths, live) = match input {
        Input::Files(paths) => (paths, None),
        Input::Pipe(path) => (std::slice::from_ref(path), None),
        Input::Interfaces => {
            live::complete(&mut config)?;
            (&[][..], Some(live::open(&config, stopped)?))
        }
    };
    let listeners = match input {
        Input::Files(_) => None,
        _ => Some(Listeners::open(&config.status.socket, config.status.prometheus.as_deref())?),
    };
    if live.is_some() {
        let taken = confine::confine(&config)?;
        tracing::info!(measures = %taken.join("; "), "confined");
        run.confinement = taken;
    }
    before_threads()?;
    run.listeners = listeners;
    let left = Cell::new(options.packets);
    let Some(live) = live else {
        let mut sources = paths.iter().map(|path| Ok(Counted::new(open(path, stopped)?, &left)));
        let pace =
            pipeline::Options { realtime: options.realtime, when_behind: WhenBehind::Wait, stop: &stop, shed: None };
        return drive(&config, &mut sources, paths, pace, run);
    };
    let (shed, controller) = Shed::new(fastrand::u64(..));
    (run.shared, run.controller) = (Some(live.shared()), Some(controller));
    let how = pipeline::Options { realtime: false, when_behind: WhenBehind::LeaveOut, stop: &stop, shed: Some(&shed) };
    drive(&config, &mut std::iter::once(Ok(Counted::new(live, &left))), paths, how, run)
}

/// What a run has and a replay has not.
#[derive(Default)]
struct Run {
    listeners: Option<Listeners>,
    shared: Option<Shared>,
    controller: Option<Controller>,
    confinement: Vec<String>,
}

/// Everything from the sources on.
fn drive<S: PacketSource>(
    config: &Config,
    sources: &mut impl Iterator<Item = Result<S, CaptureError>>,
    paths: &[PathBuf],
    how: pipeline::Options<'_>,
    run: Run,
) -> anyhow::Result<Summary> {
    let board = Board::default();
    let loaded = config.detector.release.as_ref().map(|path| load_release(path, config)).transpose()?;
    let (scoring_release, fallback) = loaded.unzip();
    let mut network = Network::start(config, &board, fallback)?;
    let responder = Responder::start(config)?;
    describe(&board, config, &responder, &run.confinement);
    let stopwatch = Stopwatch::start();
    let meter_config = config.meter_config()?;
    let judge = Judge::new(meter_config.hosts, meter_config.flows.hash_seed).with_rows(config.samples.alert_rows());
    // Without a broker nobody takes samples.
    let sample_rows = if config.mqtt.url.is_some() { config.samples.rows } else { 0 };
    let sampler = Sampler::new(sample_rows, config.samples.interval.0, fastrand::u64(..));
    let socket = run.listeners.map(|listeners| listeners.serve(&board, network.weak())).transpose()?;
    let mut watch = Watch::new(board.clone(), (meter_config.flows.capacity, meter_config.hosts));
    (watch.shared, watch.controller) = (run.shared.clone(), run.controller);
    watch.cpu_percent = config.resources.cpu_percent;
    if run.shared.is_some() {
        watch.notifier = Notifier::from_environment();
        watch.notifier.ready(&format!("watching {}", config.capture.interfaces.join(" ")));
    }
    let (listener, control) = network.ends(watch, responder);
    let mut scoring = Scoring::new(config.detector.alerts_per_day, judge, sampler, files(config)?, listener);
    if let Some(installed) = scoring_release {
        board.release(installed.manifest.version, false, installed.engine.name());
        scoring.install(installed);
    }
    let mut meter = Meter::new(&meter_config);
    let mut inputs_told = Inputs::default();
    let outcome =
        pipeline::run(sources, &mut meter, scoring, control, how, &mut |source| inputs_told.note(source, paths));
    let seconds = stopwatch.elapsed().as_secs_f64();
    let scoring = outcome.scoring;
    let mut summary = summarize(&meter, scoring.as_ref(), &inputs_told, seconds);
    summary.unscored += outcome.left_out;
    drop(scoring);
    network.finish(&mut summary);
    drop(socket);
    for one in run.shared.map(|shared| shared.interfaces()).unwrap_or_default() {
        summary.kernel_drops += one.dropped;
    }
    eprint!("{summary}");
    if let Some(path) = &config.output.summary_json {
        let text = serde_json::to_string_pretty(&summary)?;
        let mut sink = Sink::create(path)?;
        sink.write(|writer| writeln!(writer, "{text}"))?;
        sink.flush()?;
    }
    outcome.result?;
    Ok(summary)
}

/// What does not change while the agent runs.
fn describe(board: &Board, config: &Config, responder: &Responder, confinement: &[String]) {
    let mut report = board.edit();
    env!("CARGO_PKG_VERSION").clone_into(&mut report.agent_version);
    report.confinement = confinement.to_vec();
    report.sampled_permille = 1000;
    if config.mqtt.url.is_none() {
        "none".clone_into(&mut report.connection);
    } else if report.connection.is_empty() {
        "not yet".clone_into(&mut report.connection);
    }
    let mode = match responder.mode() {
        ResponseMode::Off => "off",
        ResponseMode::DryRun => "dry-run",
        ResponseMode::Block => "block",
    };
    mode.clone_into(&mut report.response);
}

fn open(path: &Path, stopped: &Arc<AtomicBool>) -> Result<FileSource, CaptureError> {
    let name = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    match interruptible::open(path, Arc::clone(stopped)) {
        Ok(reader) => FileSource::from_reader(&name, reader),
        Err(error) => Err(CaptureError { file: name, offset: None, problem: Problem::Open(error) }),
    }
}

/// The configured release, to score with, and what makes it again.
fn load_release(path: &Path, config: &Config) -> anyhow::Result<(Installed, Fallback<Box<dyn Engine>>)> {
    let engines = Engines(config.detector.engine);
    let keys = trusted_keys(&config.update.keys)?;
    if keys.iter().next().is_none() {
        tracing::warn!(release = %path.display(), "signature not checked: no key was given");
    }
    let file = Loaded::open(path)?;
    let build = move || file.install(file.verify(&engines, &keys)?, &engines);
    let InstalledRelease { manifest, engine, .. } = build()?;
    let version = manifest.version;
    let build = Box::new(move || build().map_err(|error| error.to_string()));
    Ok((Installed { manifest, engine, trial: None }, Fallback { version, build }))
}

fn files(config: &Config) -> anyhow::Result<Files> {
    let output = &config.output;
    Ok(Files {
        records: output.records.as_deref().map(RecordWriter::create).transpose()?,
        features: output.features.as_deref().map(FeatureWriter::create).transpose()?,
        alerts: output.alerts.as_deref().map(Sink::create).transpose()?,
    })
}

/// What the inputs had to say at their ends.
#[derive(Default)]
struct Inputs {
    refused: BTreeMap<&'static str, u64>,
    warnings: Vec<String>,
    read: usize,
}

impl Inputs {
    /// `paths` are the inputs in the order in which they are read.
    fn note(&mut self, source: &impl PacketSource, paths: &[PathBuf]) {
        let path = paths.get(self.read).map_or_else(Default::default, |path| path.display().to_string());
        self.read += 1;
        merge(&mut self.refused, source.refusals());
        if let Some(truncation) = source.truncation() {
            self.warnings.push(format!("{path}: {truncation}"));
        }
    }
}

fn merge(into: &mut BTreeMap<&'static str, u64>, refusals: &RefusalCounts) {
    for (reason, count) in by_reason(refusals) {
        *into.entry(reason).or_default() += count;
    }
}

fn summarize<L: crate::scoring::Listener>(
    meter: &Meter,
    scoring: Option<&Scoring<L>>,
    inputs: &Inputs,
    seconds: f64,
) -> Summary {
    let counters = meter.counters();
    let mut refused = inputs.refused.clone();
    merge(&mut refused, meter.refusals());
    let packets = counters.packets + refused.values().sum::<u64>();
    let scored = scoring.map(Scoring::counters).unwrap_or_default();
    let (release, engine) = scoring.map_or((0, ""), Scoring::release);
    Summary {
        packets,
        octets: counters.network_octets,
        frame_octets: counters.frame_octets,
        flows: counters.flows,
        records: counters.records,
        refused,
        flow_evictions: counters.evictions,
        host_evictions: meter.hosts().evictions + scored.judge.evictions,
        kernel_drops: 0,
        reordered: counters.reordered,
        clock_steps: counters.clock_steps,
        scored: scored.scored,
        unscored: scored.engine_faults,
        alerts: scored.judge.episodes,
        episodes_held_back: scored.judge.episodes_held_back,
        release,
        engine,
        seconds,
        packets_per_second: if seconds > 0.0 { packets as f64 / seconds } else { 0.0 },
        peak_memory_bytes: peak_memory_bytes(),
        warnings: inputs.warnings.clone(),
    }
}
