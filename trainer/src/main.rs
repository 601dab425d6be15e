//! The trainer's program; see `lapwing-trainer --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == "serve") {
        lapwing_trainer::allocator::settle();
    }
    lapwing_trainer::main(std::env::args_os())
}
