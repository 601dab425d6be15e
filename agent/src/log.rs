//! Events → lines on standard error: time in UTC, level, module, message, fields.
//!
//! Only the level filter comes from tracing-subscriber: its registry and formatter are for spans, which this program does
//! not use, and too large for a router's flash. Control characters are escaped, so that text from a broker cannot start a
//! new line or control a terminal.

use crate::clock;
use lapwing_shared::units::date;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Nanoseconds of a microsecond.
const MICRO_NS: u64 = 1_000;
const SECOND_US: u64 = 1_000_000;
const DAY_S: u64 = 86_400;

/// Installs the subscriber. `LAPWING_LOG` sets levels by module, e.g. `warn,lapwing_agent::publish=debug`.
pub(crate) fn start() {
    let default = || Targets::new().with_default(LevelFilter::INFO).with_target("tract", LevelFilter::ERROR);
    let levels = std::env::var("LAPWING_LOG").ok().and_then(|levels| levels.parse().ok()).unwrap_or_else(default);
    // Tests in one process call this more than once; the first call counts.
    let _ = tracing::subscriber::set_global_default(Lines { levels });
}

struct Lines {
    levels: Targets,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.levels.would_enable(metadata.target(), metadata.level())
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = line(event.metadata(), clock::reading().wall);
        event.record(&mut line);
        line.0.push('\n');
        // There is nowhere else to report a failure.
        let _ = std::io::stderr().write_all(line.0.as_bytes());
    }

    // Spans are not enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A line with time, level and module.
fn line(metadata: &Metadata<'_>, wall_ns: u64) -> Line {
    let mut line = Line(String::new());
    let micros = wall_ns / MICRO_NS;
    let (second, micros) = (micros / SECOND_US, micros % SECOND_US);
    let ((year, month, day), second) = (date(second / DAY_S), second % DAY_S);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (level, target) = (metadata.level(), metadata.target());
    // Writing to a string does not fail.
    let _ = write!(
        line.0,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z {level:>5} {target}:"
    );
    line
}

/// Text with control characters escaped, so that it stays on one line.
struct Line(String);

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character.is_control() {
                true => self.0.extend(character.escape_default()),
                false => self.0.push(character),
            }
        }
        Ok(())
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self, " {value:?}"),
            name => write!(self, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let mut line = Line(String::new());
        write!(line, "reason\nINFO all is well \u{1b}[2J").unwrap();
        assert_eq!(line.0, r"reason\nINFO all is well \u{1b}[2J");
    }
}
