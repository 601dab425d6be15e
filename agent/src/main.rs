//! The agent's program; see `lapwing-agent --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lapwing_agent::main(std::env::args_os())
}
