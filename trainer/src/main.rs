//! Arguments → the trainer; see `lapwing-trainer --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == "serve") {
        lapwing_trainer::allocator::restart_with_fixed_threshold();
    }
    lapwing_trainer::main(std::env::args_os())
}
