//! Progress reports of a training → a bar if standard error is a terminal, log lines otherwise.

use indicatif::{ProgressBar, ProgressStyle};
use lapwing_pipeline::order::StageProgress;
use std::io::IsTerminal;
use std::sync::mpsc::Receiver;

/// Log lines per stage.
const LINES: u64 = 5;

/// Progress of one training.
pub(super) struct ProgressDisplay {
    bar: Option<ProgressBar>,
    stage: &'static str,
    logged_part: u64,
}

impl ProgressDisplay {
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} {msg}");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
        });
        Self { bar, stage: "", logged_part: 0 }
    }

    /// Shows the reports received since the last call.
    pub(super) fn update(&mut self, reports: &Receiver<StageProgress>) {
        for progress in reports.try_iter() {
            if let Some(bar) = &self.bar {
                bar.set_prefix(progress.stage);
                bar.set_length(progress.total);
                bar.set_position(progress.done);
                bar.set_message(progress.note);
                continue;
            }
            let part = (progress.done * LINES).checked_div(progress.total).unwrap_or(0);
            if progress.stage != self.stage || part != self.logged_part {
                (self.stage, self.logged_part) = (progress.stage, part);
                let StageProgress { stage, done, total, note } = progress;
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
