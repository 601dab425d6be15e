//! What happens in the demo → its standard output. Progress is one line that overwrites itself on a terminal, and one
//! line for each training stage elsewhere.

use std::io::{IsTerminal, Write, stdout};
use std::sync::{Mutex, PoisonError};

/// The stages of the current training, in order; the last one may have a line on the terminal that is still growing.
static TRAINING: Mutex<Training> = Mutex::new(Training { stages: Vec::new(), open: false });

struct Training {
    stages: Vec<String>,
    /// The cursor is in a progress line.
    open: bool,
}

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// A heading.
pub(super) fn chapter(text: &str) {
    line(&format!("\n{}", styled(BOLD, text)));
}

/// One line of the story.
pub(super) fn say(text: &str) {
    line(&format!("  {text}"));
}

/// The first line of an alert.
pub(super) fn alert(text: &str) {
    line(&format!("  {} {text}", styled(RED, "ALERT")));
}

/// A warning or an error of one of the processes.
pub(super) fn log(process: &str, text: &str) {
    line(&format!("  {}", styled(DIM, &format!("{process} | {text}"))));
}

/// How far a training is in a stage; `total` is 0 for a stage without steps.
pub(super) fn progress(stage: &str, done: u64, total: u64) {
    let mut training = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
    let is_new = training.stages.last().is_none_or(|last| last != stage);
    if is_new && training.stages.iter().any(|known| known == stage) {
        return; // A stage that continues after another one keeps its line.
    }
    if is_new {
        end_progress_line(&mut training);
        training.stages.push(stage.to_owned());
    }
    if stdout().is_terminal() {
        let steps = if total > 0 { format!(", step {done} of {total}") } else { String::new() };
        print!("\r\x1b[K  {stage}{steps}");
        training.open = true;
        // A progress line that does not appear at once is not worth failing for.
        let _ = stdout().flush();
    } else if is_new {
        println!("  {stage}");
    }
}

/// The training has ended: the next one shows its stages anew.
pub(super) fn end_training() {
    let mut training = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
    end_progress_line(&mut training);
    training.stages.clear();
}

fn line(text: &str) {
    let mut training = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
    end_progress_line(&mut training);
    println!("{text}");
}

fn end_progress_line(training: &mut Training) {
    if std::mem::take(&mut training.open) {
        println!();
    }
}

fn styled(style: &str, text: &str) -> String {
    if stdout().is_terminal() { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
}
