//! Log lines of the demo's processes → progress of the training, warnings, and what the story waits for.

use super::console;
use lapwing_trainer::serve::HELD_BACK;
use lapwing_trainer::serve::classify::PASS_DONE;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

/// Events in the trainer's log that the story waits for.
pub(super) struct Signals {
    /// The alerts in the store were classified.
    pub(super) classified: Sender<()>,
    /// A release is held back.
    pub(super) held: Arc<AtomicBool>,
}

/// Shows a process's log on the console, but only its warnings, errors and training progress.
pub(super) fn relay(process: &str, log: impl Read + Send + 'static, signals: Option<Signals>) {
    let process = process.to_owned();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            match Line::parse(&line) {
                Line::Classified => {
                    if let Some(signals) = &signals {
                        // The demo may have stopped waiting.
                        let _ = signals.classified.send(());
                    }
                }
                Line::Held(text) => {
                    console::end_training();
                    console::log(&process, text);
                    if let Some(signals) = &signals {
                        signals.held.store(true, Ordering::Relaxed);
                    }
                }
                Line::Training { stage, done, total } => console::progress(stage_text(stage), done, total),
                Line::Published { rows, agents } => {
                    console::end_training();
                    console::say(&format!("trained on {rows} feature rows from {agents} agents"));
                }
                Line::Trouble(text) => console::log(&process, text),
                Line::Other => {}
            }
        }
    });
}

#[derive(Debug, PartialEq)]
enum Line<'a> {
    Classified,
    Training { stage: &'a str, done: u64, total: u64 },
    Published { rows: &'a str, agents: &'a str },
    Held(&'a str),
    Trouble(&'a str),
    Other,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let number = |name| field(line, name).and_then(|value| value.parse().ok());
        if line.contains(" DEBUG ") {
            return if line.contains(PASS_DONE) { Self::Classified } else { Self::Other };
        }
        if let (Some(stage), Some(done), Some(total)) = (field(line, "stage"), number("done"), number("total")) {
            return Self::Training { stage: stage.trim_matches('"'), done, total };
        }
        if let (Some(_), Some(rows), Some(agents)) =
            (field(line, "version"), field(line, "rows"), field(line, "agents"))
        {
            return Self::Published { rows, agents };
        }
        let trouble = ["WARN ", "ERROR "].iter().find_map(|level| line.find(level));
        match trouble.map(|place| &line[place..]) {
            Some(text) if text.contains(HELD_BACK) => Self::Held(text),
            Some(text) => Self::Trouble(text),
            None => Self::Other,
        }
    }
}

/// The value of `name=value` in a log line.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn stage_text(stage: &str) -> &str {
    match stage {
        "train" => "training the network",
        "limits" => "computing alert thresholds",
        "quantize" => "quantizing the network to int8",
        "calibrate" => "calibrating scores",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_line_is_progress() {
        let line = "2026-01-01T00:00:00Z  INFO lapwing_trainer::serve::progress: training stage=\"train\" done=12 total=60 note=\"0.1\"";
        assert_eq!(Line::parse(line), Line::Training { stage: "train", done: 12, total: 60 });
    }

    #[test]
    fn a_published_release_shows_its_rows() {
        let line = "2026-01-01T00:00:00Z  INFO lapwing_trainer::serve: release published version=1 rows=900 suspect=0 agents=2";
        assert_eq!(Line::parse(line), Line::Published { rows: "900", agents: "2" });
    }

    #[test]
    fn of_other_lines_only_warnings_and_errors_are_shown() {
        assert_eq!(Line::parse("2026-01-01T00:00:00Z  INFO lapwing_trainer: embedded broker listens"), Line::Other);
        let line = "2026-01-01T00:00:00Z  WARN lapwing_trainer: disk nearly full";
        assert_eq!(Line::parse(line), Line::Trouble("WARN lapwing_trainer: disk nearly full"));
        let held = format!("WARN lapwing_trainer::serve::making: {HELD_BACK} version=2");
        assert_eq!(Line::parse(&format!("2026-01-01T00:00:00Z  {held}")), Line::Held(&held));
        let line = format!("2026-01-01T00:00:00Z DEBUG lapwing_trainer::serve::classify: {PASS_DONE}");
        assert_eq!(Line::parse(&line), Line::Classified);
    }
}
