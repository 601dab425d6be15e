//! Random changes of a corpus → the trainer's intake, HTTP server or broker, which must survive them and serve others.
//!
//! `lapwing-fuzz-trainer TARGET [SECONDS [SEED]]`; default: 15 seconds, a random seed. After a failure, the inputs since
//! the last check are written to the temporary folder.

use lapwing_system_tests::fuzz::{self, Failure, TARGETS};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().unwrap_or_default();
    let mut numbers = arguments.map(|argument| argument.parse::<u64>());
    let seconds = numbers.next().unwrap_or(Ok(15));
    let seed = numbers.next().unwrap_or_else(|| Ok(fastrand::u64(..)));
    let (Ok(seconds), Ok(seed), true) = (seconds, seed, TARGETS.contains(&target.as_str())) else {
        eprintln!("usage: lapwing-fuzz-trainer {} [SECONDS [SEED]]", TARGETS.join("|"));
        return ExitCode::FAILURE;
    };
    let folder = std::env::temp_dir().join(format!("lapwing-fuzz-{target}-{seed}"));
    match run(&target, Duration::from_secs(seconds), seed, &folder) {
        Ok(inputs) => {
            println!("fuzz: {target} ran {inputs} inputs in {seconds} s without failure, seed {seed}");
            let _ = std::fs::remove_dir_all(&folder);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("fuzz: {target}, seed {seed}: {}", failure.reason);
            eprintln!("fuzz: the {} inputs before it are in {}", failure.inputs.len(), folder.display());
            write(&folder, &failure.inputs);
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, time: Duration, seed: u64, folder: &Path) -> Result<u64, Failure> {
    let failure = |reason| Failure { reason, inputs: Vec::new() };
    std::fs::create_dir_all(folder).map_err(|error| failure(error.to_string()))?;
    let started = fuzz::start(name, folder).unwrap_or_else(|| Err("unknown target".into()));
    let mut target = started.map_err(failure)?;
    let inputs = fuzz::run(target.as_mut(), time, seed)?;
    target.stop().map_err(failure)?;
    Ok(inputs)
}

fn write(folder: &Path, inputs: &[Vec<u8>]) {
    for (index, input) in inputs.iter().enumerate() {
        let path: PathBuf = folder.join(format!("{index:03}"));
        if let Err(error) = std::fs::write(&path, input) {
            eprintln!("fuzz: cannot write {}: {error}", path.display());
        }
    }
}
