//! The lab's program; see `lapwing-lab --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lapwing_lab::main(std::env::args_os())
}
