//! `replay` and `run`: packets through meter and scoring to files, broker and summary.

use crate::capture::{CaptureError, FileSource, PacketSource, Problem};
use crate::cli::Options;
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::engines::Engines;
use crate::interruptible;
use crate::network::Network;
use crate::output::Sink;
use crate::output::features::FeatureWriter;
use crate::output::records::RecordWriter;
use crate::output::summary::{Summary, by_reason, peak_memory_bytes};
use crate::pipeline::{self, WhenBehind};
use crate::release_file::{Loaded, trusted_keys};
use crate::sampler::Sampler;
use crate::scoring::{Files, Installed, Scoring};
use lapwing_shared::features::meter::Meter;
use lapwing_shared::packet::RefusalCounts;
use lapwing_shared::verdict::judge::Judge;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads the inputs to their end, or until `stopped` is set; prints the summary to standard error and, where asked, to a file.
///
/// # Errors
/// When an input cannot be read, a release is wrong, or a result cannot be written. What was read before is scored,
/// written and counted in the summary all the same.
pub fn meter(inputs: &[PathBuf], options: &Options, stopped: &Arc<AtomicBool>) -> anyhow::Result<Summary> {
    let config = options.configuration()?;
    let mut scoring_release = None;
    if let Some(path) = &config.detector.release {
        scoring_release = Some(load_release(path, &config)?);
    }
    let mut network = Network::start(&config)?;
    let stopwatch = Stopwatch::start();
    let meter_config = config.meter_config()?;
    let judge = Judge::new(meter_config.hosts, meter_config.flows.hash_seed, meter_config.local.clone());
    let sampler = Sampler::new(config.samples.rows, config.samples.interval.0, fastrand::u64(..));
    let (listener, control) = network.ends();
    let mut scoring = Scoring::new(config.detector.alerts_per_day, judge, sampler, files(&config)?, listener);
    if let Some(installed) = scoring_release {
        scoring.install(installed);
    }
    let mut meter = Meter::new(&meter_config);
    let mut inputs_told = Inputs::default();
    let mut sources = inputs.iter().map(|path| open(path, stopped));
    let stop = || stopped.load(Ordering::Relaxed);
    let run = pipeline::Options { realtime: options.realtime, when_behind: WhenBehind::Wait, stop: &stop };
    let outcome =
        pipeline::run(&mut sources, &mut meter, scoring, control, run, &mut |source| inputs_told.note(source, inputs));
    let seconds = stopwatch.elapsed().as_secs_f64();
    let scoring = outcome.scoring;
    let mut summary = summarize(&meter, scoring.as_ref(), &inputs_told, seconds);
    drop(scoring);
    network.finish(&mut summary);
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

fn open(path: &Path, stopped: &Arc<AtomicBool>) -> Result<FileSource, CaptureError> {
    let name = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    match interruptible::open(path, Arc::clone(stopped)) {
        Ok(reader) => FileSource::from_reader(&name, reader),
        Err(error) => Err(CaptureError { file: name, offset: None, problem: Problem::Open(error) }),
    }
}

fn load_release(path: &Path, config: &Config) -> anyhow::Result<Installed> {
    let engines = Engines(config.detector.engine);
    let keys = trusted_keys(&config.update.keys)?;
    if keys.iter().next().is_none() {
        tracing::warn!(release = %path.display(), "signature not checked: no key was given");
    }
    let file = Loaded::open(path)?;
    let installed = file.install(file.verify(&engines, &keys)?, &engines)?;
    Ok(Installed { manifest: installed.manifest, engine: installed.engine, trial: None })
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
    fn note(&mut self, source: &FileSource, paths: &[PathBuf]) {
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
