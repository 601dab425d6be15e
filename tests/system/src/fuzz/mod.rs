//! Corpus and random changes of it → inputs for one part of the trainer, until a time limit or the first failure.
//!
//! The libFuzzer targets (tests/fuzz) need coverage instrumentation; building the trainer with it would take longer than
//! all tests, so these targets use the build of the tests and run through the same sockets and queues as in the field.

mod broker;
mod http;
mod intake;

use fastrand::Rng;
use lapwing_common::clock;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Inputs between two checks that well-behaved clients are still served.
const CHECK_EVERY: usize = 500;
/// Longest input, bytes.
const INPUT_BYTES: usize = 16 << 10;
/// Limit of peak resident memory, KiB: several times what the parts need with all their queues full.
const RESIDENT_KIB: u64 = 1024 * 1024;

/// Panics of any thread since the start.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// A part of the trainer that gets hostile input.
pub trait Target {
    /// The inputs to change.
    fn seeds(&self) -> Vec<Vec<u8>>;

    /// Pieces that are inserted into inputs.
    fn pieces(&self) -> &'static [&'static [u8]];

    /// Runs one input.
    ///
    /// # Errors
    /// When the answer is wrong.
    fn run(&mut self, input: &[u8]) -> Result<(), String>;

    /// Checks that a well-behaved client is served.
    ///
    /// # Errors
    /// When it is not.
    fn check(&mut self) -> Result<(), String>;

    /// Stops the part.
    ///
    /// # Errors
    /// When it had failed.
    fn stop(self: Box<Self>) -> Result<(), String>;
}

/// Names of all targets.
pub const TARGETS: [&str; 3] = ["intake", "http", "broker"];

/// Starts a target; `None` for an unknown name.
///
/// # Errors
/// When it cannot start.
pub fn start(name: &str, folder: &Path) -> Option<Result<Box<dyn Target>, String>> {
    Some(match name {
        "intake" => intake::Intake::start(folder).map(|target| Box::new(target) as Box<dyn Target>),
        "http" => http::Http::start(folder).map(|target| Box::new(target) as Box<dyn Target>),
        "broker" => broker::Broker::start().map(|target| Box::new(target) as Box<dyn Target>),
        _ => return None,
    })
}

/// A failure, and the inputs since the last successful check; the last one is the most likely cause.
pub struct Failure {
    /// What went wrong.
    pub reason: String,
    /// The inputs.
    pub inputs: Vec<Vec<u8>>,
}

/// Runs the seeds, then changed ones, for this time; returns the number of inputs.
///
/// # Errors
/// The first [`Failure`].
pub fn run(target: &mut dyn Target, time: Duration, seed: u64) -> Result<u64, Failure> {
    count_panics();
    let (seeds, pieces, mut rng) = (target.seeds(), target.pieces(), Rng::with_seed(seed));
    let end = clock::after(time);
    let (mut total, mut inputs) = (0, Vec::new());
    while clock::monotonic() < end {
        let input = match seeds.get(total as usize) {
            Some(seed) => seed.clone(),
            None => changed(&mut rng, &seeds, pieces),
        };
        let result = target.run(&input);
        inputs.push(input);
        total += 1;
        let result = if inputs.len() < CHECK_EVERY { result } else { result.and_then(|()| check(target)) };
        if let Err(reason) = result {
            return Err(Failure { reason, inputs });
        }
        if inputs.len() >= CHECK_EVERY {
            inputs.clear();
        }
    }
    check(target).map_err(|reason| Failure { reason, inputs })?;
    Ok(total)
}

fn check(target: &mut dyn Target) -> Result<(), String> {
    let panics = PANICS.load(Ordering::Relaxed);
    if panics > 0 {
        return Err(format!("{panics} threads panicked"));
    }
    let resident = resident_kib();
    if resident > RESIDENT_KIB {
        return Err(format!("{resident} KiB resident, expected at most {RESIDENT_KIB}"));
    }
    target.check()
}

/// Counts panics of all threads, besides reporting them.
fn count_panics() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        report(info);
    }));
}

/// Contents of the files of a target's corpus.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

fn changed(rng: &mut Rng, seeds: &[Vec<u8>], pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = rng.choice(seeds).cloned().unwrap_or_default();
    for _ in 0..rng.u32(1..6) {
        change(rng, &mut bytes, seeds, pieces);
    }
    bytes.truncate(INPUT_BYTES);
    bytes
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], pieces: &[&[u8]]) {
    let place = rng.usize(..=bytes.len());
    let length = rng.usize(..=16.min(bytes.len() - place));
    match rng.u8(..9) {
        0 if place < bytes.len() => bytes[place] ^= 1 << rng.u8(..8),
        1 if place < bytes.len() => bytes[place] = rng.u8(..),
        2 => bytes.truncate(place),
        3 => drop(bytes.drain(place..place + length)),
        4 => bytes.extend_from_within(place..place + length),
        5 => {
            let other = rng.choice(seeds).map_or(&[][..], Vec::as_slice);
            bytes.truncate(place);
            bytes.extend_from_slice(&other[rng.usize(..=other.len())..]);
        }
        6 => {
            let piece = rng.choice(pieces).copied().unwrap_or_default();
            let count = if rng.u8(..16) == 0 { rng.usize(..200) } else { 1 };
            drop(bytes.splice(place..place, piece.repeat(count)));
        }
        _ => {
            let piece = rng.choice(pieces).copied().unwrap_or_default();
            drop(bytes.splice(place..place + length, piece.iter().copied()));
        }
    }
}

/// Peak resident memory, KiB (proc_pid_status(5)).
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
