//! `replay` and `run`: packets → meter → scoring → files, broker and summary.

use crate::capture::{CaptureError, FileSource, PacketSource, Problem};
use crate::cli::Options;
use crate::clock::Stopwatch;
use crate::commands::limited::Limited;
use crate::commands::live;
use crate::config::{Config, ResponseMode};
use crate::confine;
use crate::detector::Engine;
use crate::engines::Engines;
use crate::habit_file::HabitFile;
use crate::interruptible;
use crate::monitor::{Capacities, Monitor};
use crate::notify::Notifier;
use crate::output::Sink;
use crate::output::features::FeatureWriter;
use crate::output::records::RecordWriter;
use crate::output::summary::{Reasons, Summary, peak_memory_bytes};
use crate::pipeline::{self, WhenBehind};
use crate::publish::channel_ends::Reporter;
use crate::publish::network_thread::{NetworkThread, open_folder};
use crate::publish::session::Fallback;
use crate::release_file::{Loaded, configured_keys};
use crate::report::SharedReport;
use crate::response::{Helper, Responder};
use crate::sampler::Sampler;
use crate::scoring::{Files, Installed, Scoring};
use crate::shed::{Controller, Shed};
use crate::status::server::Listeners;
use crate::update::engine::InstalledRelease;
use lapwing_live::Shared;
use lapwing_shared::features::meter::{Meter, MeterConfig};
use lapwing_shared::verdict::habits::Habits;
use lapwing_shared::verdict::tracker::EvidenceTracker;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where packets come from.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// Capture files, one after another.
    Files(&'a [PathBuf]),
    /// A capture file or pipe, with broker, status and signals.
    Pipe(&'a PathBuf),
    /// The configured interfaces, or the LAN interface.
    Interfaces,
}

/// Reads the input to its end, or until `stopped` is set; prints the summary to standard error, and to a file if one is
/// configured. Starts the response helper before it drops privileges. Calls `before_threads` after dropping privileges and before starting the first thread.
///
/// # Errors
/// When an input cannot be read, a release is invalid, or a result cannot be written. Everything read until then is
/// scored, written and counted.
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
    if !matches!(input, Input::Files(_)) {
        run.helper = Helper::start(&config)?;
    }
    let listeners = match input {
        Input::Files(_) => None,
        _ => Some(Listeners::open(&config.status.socket, config.status.prometheus.as_deref())?),
    };
    if live.is_some() {
        run.confinement = confine::confine(&config)?;
        tracing::info!(measures = %run.confinement.join("; "), "confined");
    }
    before_threads()?;
    #[cfg(feature = "tls")]
    if !matches!(input, Input::Files(_)) {
        run.must_restart = super::identity_thread::start(&config, &run.report, stopped)?;
    }
    run.listeners = listeners;
    let left = Cell::new(options.packets);
    let Some(live) = live else {
        let mut sources = paths.iter().map(|path| Ok(Limited::new(open(path, stopped)?, &left)));
        let options =
            pipeline::Options { realtime: options.realtime, when_behind: WhenBehind::Wait, stop: &stop, shed: None };
        return drive(&config, &mut sources, paths, options, run);
    };
    let (shed, controller) = Shed::new(fastrand::u64(..));
    (run.shared, run.controller) = (Some(live.shared()), Some(controller));
    let options =
        pipeline::Options { realtime: false, when_behind: WhenBehind::LeaveOut, stop: &stop, shed: Some(&shed) };
    drive(&config, &mut std::iter::once(Ok(Limited::new(live, &left))), paths, options, run)
}

/// What only `run` has.
#[derive(Default)]
struct Run {
    listeners: Option<Listeners>,
    shared: Option<Shared>,
    controller: Option<Controller>,
    confinement: Vec<String>,
    helper: Option<Helper>,
    /// Becomes true if the agent has an identity with which it must start again.
    must_restart: Arc<AtomicBool>,
    report: SharedReport,
}

/// Runs everything behind the sources, to the end.
fn drive<S: PacketSource>(
    config: &Config,
    sources: &mut impl Iterator<Item = Result<S, CaptureError>>,
    paths: &[PathBuf],
    options: pipeline::Options<'_>,
    mut run: Run,
) -> anyhow::Result<Summary> {
    let report = run.report.clone();
    let loaded = config.detector.release.as_ref().map(|path| load_release(path, config)).transpose()?;
    let (release, fallback) = loaded.unzip();
    let mut network = NetworkThread::start(config, &report, fallback)?;
    let responder = Responder::start(config.response.mode, run.helper.take(), &report)?;
    describe(&report, config, &responder, &run.confinement);
    let stopwatch = Stopwatch::start();
    let meter_config = config.meter_config()?;
    let listeners = run.listeners.take();
    // `replay` leaves nothing behind but the files that it is asked for.
    let is_run = listeners.is_some();
    let socket = listeners.map(|listeners| listeners.serve(&report, network.weak_sender())).transpose()?;
    let (shared, must_restart) = (run.shared.clone(), Arc::clone(&run.must_restart));
    let (listener, control) = network.scoring_ends(monitor(config, &meter_config, &report, run), responder);
    let mut scoring = scoring(config, &meter_config, release, &report, listener)?;
    if let Some(folder) = config.identity_dir().filter(|_| is_run) {
        scoring.keep_habits(Box::new(HabitFile::new(open_folder("state", folder, &report)?)));
    }
    let mut meter = Meter::new(&meter_config);
    let mut inputs = Inputs::default();
    let outcome =
        pipeline::run(sources, &mut meter, scoring, control, options, &mut |source| inputs.note(source, paths));
    let seconds = stopwatch.elapsed().as_secs_f64();
    let mut summary = summarize(&meter, outcome.scoring.as_ref(), inputs, seconds);
    summary.unscored += outcome.left_out;
    drop(outcome.scoring);
    network.finish(&mut summary);
    drop(socket);
    let interfaces = shared.map(|shared| shared.interfaces()).unwrap_or_default();
    summary.kernel_drops = interfaces.iter().map(|interface| interface.dropped).sum();
    // An input that cannot be read at all has an error, and nothing to sum up.
    if outcome.result.is_ok() || summary.packets > 0 {
        eprint!("{summary}");
    }
    if let Some(path) = &config.output.summary_json {
        write_json(&summary, path)?;
    }
    outcome.result?;
    // An error, so that service managers start the agent again.
    anyhow::ensure!(!must_restart.load(Ordering::Relaxed), "enrolled: start the agent again, and it uses its identity");
    Ok(summary)
}

fn monitor(config: &Config, meter: &MeterConfig, report: &SharedReport, run: Run) -> Monitor {
    let mut monitor = Monitor::new(report.clone(), Capacities { flows: meter.flows.capacity, hosts: meter.hosts });
    monitor.cpu_percent = config.resources.cpu_percent;
    if run.shared.is_some() {
        monitor.notifier = Notifier::from_environment();
        monitor.notifier.ready(&format!("capturing from {}", config.capture.interfaces.join(" ")));
    }
    (monitor.shared, monitor.controller) = (run.shared, run.controller);
    monitor
}

/// The scoring stage with the configured release.
fn scoring(
    config: &Config,
    meter: &MeterConfig,
    release: Option<Installed>,
    report: &SharedReport,
    listener: Reporter,
) -> anyhow::Result<Scoring<Reporter>> {
    let tracker = EvidenceTracker::new(meter.hosts, meter.flows.hash_seed).with_rows(config.samples.alert_rows());
    let tracker = match config.detector.habits {
        true => tracker.with_habits(Habits::new(meter.hosts, meter.flows.hash_seed)),
        false => tracker,
    };
    // Only a broker takes samples.
    let sample_rows = if config.mqtt.has_broker() { config.samples.rows } else { 0 };
    let sampler = Sampler::new(sample_rows, config.samples.interval.0, fastrand::u64(..));
    let mut scoring = Scoring::new(config.detector.alerts_per_day, tracker, sampler, files(config)?, listener);
    if let Some(installed) = release {
        report.set_release(installed.manifest.version, false, installed.engine.name());
        scoring.install(installed);
    }
    Ok(scoring)
}

fn write_json(summary: &Summary, path: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(summary)?;
    let mut sink = Sink::create(path)?;
    sink.write(|writer| writeln!(writer, "{text}"))?;
    Ok(sink.flush()?)
}

/// Fills in the parts of the report that do not change while the agent runs.
fn describe(report: &SharedReport, config: &Config, responder: &Responder, confinement: &[String]) {
    let mut report = report.edit();
    env!("CARGO_PKG_VERSION").clone_into(&mut report.agent_version);
    report.confinement = confinement.to_vec();
    report.sampled_permille = 1000;
    if report.alerts_per_day == 0.0 {
        // The network thread has not set the one in force yet.
        report.alerts_per_day = config.detector.alerts_per_day;
    }
    if !config.mqtt.has_broker() {
        "none".clone_into(&mut report.connection);
    } else if report.connection.is_empty() {
        "not connected yet".clone_into(&mut report.connection);
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

/// The configured release, to score with, and the function that loads it again.
fn load_release(path: &Path, config: &Config) -> anyhow::Result<(Installed, Fallback<Box<dyn Engine>>)> {
    let engines = Engines(config.detector.engine);
    let keys = configured_keys(&config.update)?;
    if keys.iter().next().is_none() {
        tracing::warn!(release = %path.display(), "signature not checked: no key is configured");
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

/// What the sources report at their ends.
#[derive(Default)]
struct Inputs {
    refused: Reasons,
    repaired: u64,
    warnings: Vec<String>,
    read: usize,
}

impl Inputs {
    /// `paths` are the sources' names, in reading order.
    fn note(&mut self, source: &impl PacketSource, paths: &[PathBuf]) {
        let path = paths.get(self.read).map_or_else(Default::default, |path| path.display().to_string());
        self.read += 1;
        self.refused.merge(source.refusals());
        self.repaired += source.repaired();
        if let Some(truncation) = source.truncation() {
            self.warnings.push(format!("{path}: {truncation}"));
        }
    }
}

fn summarize<L: crate::scoring::Listener>(
    meter: &Meter,
    scoring: Option<&Scoring<L>>,
    inputs: Inputs,
    seconds: f64,
) -> Summary {
    let counters = meter.counters();
    let mut refused = inputs.refused;
    refused.merge(meter.refusals());
    let packets = counters.packets + refused.total();
    let scored = scoring.map(Scoring::counters).unwrap_or_default();
    let (release, engine) = scoring.map_or((0, ""), Scoring::release);
    Summary {
        packets,
        octets: counters.network_octets,
        frame_octets: counters.frame_octets,
        flows: counters.flows,
        records: counters.records,
        refused,
        irregular: Reasons::new(meter.irregular()),
        fragments_without_first: meter.flows().fragments().without_first,
        repaired: inputs.repaired,
        flow_evictions: counters.evictions,
        host_evictions: meter.hosts().evictions + scored.tracker.evictions,
        kernel_drops: 0,
        reordered: counters.reordered,
        clock_steps: counters.clock_steps,
        scored: scored.scored,
        unscored: scored.engine_faults,
        alerts: scored.tracker.episodes + scored.concealment.episodes,
        episodes_held_back: scored.tracker.episodes_held_back,
        release,
        engine,
        seconds,
        packets_per_second: if seconds > 0.0 { packets as f64 / seconds } else { 0.0 },
        peak_memory_bytes: peak_memory_bytes(),
        warnings: inputs.warnings,
    }
}
