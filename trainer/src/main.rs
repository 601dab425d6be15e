//! The trainer's program; see `lapwing-trainer --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lapwing_trainer::main(std::env::args_os())
}
