//! Progress of training: a bar where standard error is a terminal, log lines elsewhere.

use super::make::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::Receiver;

/// Parts of a stage that get a log line of their own.
const LINES: u64 = 5;

/// Shows one training.
pub(super) struct Show {
    bar: Option<ProgressBar>,
    stage: &'static str,
    told: u64,
}

impl Show {
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} {msg}");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
        });
        Self { bar, stage: "", told: 0 }
    }

    /// Shows what came in since the last call.
    pub(super) fn update(&mut self, reports: &Receiver<Progress>) {
        for progress in reports.try_iter() {
            if let Some(bar) = &self.bar {
                bar.set_prefix(progress.stage);
                bar.set_length(progress.total);
                bar.set_position(progress.done);
                bar.set_message(progress.note);
                continue;
            }
            let part = (progress.done * LINES).checked_div(progress.total).unwrap_or(0);
            if progress.stage != self.stage || part != self.told {
                (self.stage, self.told) = (progress.stage, part);
                let Progress { stage, done, total, note } = progress;
                tracing::info!(stage, done, total, note, "training");
            }
        }
    }

    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
