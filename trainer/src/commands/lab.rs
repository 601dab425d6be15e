//! A subcommand that moved to lapwing-lab → that program, in place of this process.

use anyhow::anyhow;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "lapwing-lab";

/// Arguments for lapwing-lab.
#[derive(Debug, clap::Args)]
pub(crate) struct LabArgs {
    /// Passed on, except `--log`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Replaces this process by lapwing-lab: the program beside this one, otherwise the first one on PATH.
///
/// # Errors
/// Returns only if there is no such program or it cannot be started.
pub(crate) fn run_lab(subcommand: &str, args: &LabArgs) -> anyhow::Result<()> {
    let own = std::env::current_exe().unwrap_or_default();
    let program = beside(&own).unwrap_or_else(|| PROGRAM.into());
    let error = Command::new(&program).arg(subcommand).args(without_log(&args.arguments)).exec();
    if error.kind() != ErrorKind::NotFound {
        return Err(anyhow!(error).context(format!("cannot start {}", program.display())));
    }
    let folder = own.parent().unwrap_or(Path::new("."));
    Err(anyhow!(
        "{subcommand} moved to {PROGRAM}, which is neither in {} nor on PATH; install it in one of them, or run \
         `{PROGRAM} {subcommand} …` with the same arguments where it is installed",
        folder.display()
    ))
}

/// The arguments without the option `--log` of the trainer, which may be anywhere and which the lab does not have.
fn without_log(arguments: &[OsString]) -> Vec<&OsString> {
    let mut rest = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--log" {
            arguments.next();
        } else if !argument.as_encoded_bytes().starts_with(b"--log=") {
            rest.push(argument);
        }
    }
    rest
}

fn beside(own: &Path) -> Option<PathBuf> {
    let program = own.parent()?.join(PROGRAM);
    program.is_file().then_some(program)
}
