//! `NAME.labels.csv` next to a capture → attack class of each flow.
//!
//! Header `from_s,to_s,label,kind,source,target,source_port,target_port,protocol,note`; `*` matches any value, and
//! addresses may be prefixes. A flow is an attack if it overlaps an attack row in time and matches its hosts and ports in
//! either direction.

use super::DatasetError;
use lapwing_shared::context::local::Prefix;
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::units::{Address, Timestamp};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const HEADER: &str = "from_s,to_s,label,kind,source,target,source_port,target_port,protocol,note";

struct Attack {
    from: Timestamp,
    to: Timestamp,
    kind: String,
    source: Option<Prefix>,
    target: Option<Prefix>,
    source_port: Option<u16>,
    target_port: Option<u16>,
}

/// The attack rows of one file.
#[derive(Default)]
pub(super) struct Labels {
    attacks: Vec<Attack>,
}

impl Labels {
    /// Reads the file next to a capture; no labels if there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or a line is invalid.
    pub(super) fn beside(capture: &Path) -> Result<Self, DatasetError> {
        let name = capture.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.trim_end_matches(".gz").trim_end_matches(".pcapng").trim_end_matches(".pcap");
        let path = capture.with_file_name(format!("{stem}.labels.csv"));
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(DatasetError::Read { path, source }),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, DatasetError> {
        let mut lines = text.lines().enumerate();
        let header = lines.next().map_or("", |(_, line)| line);
        if header != HEADER {
            return Err(wrong(path, 1, "", header, HEADER));
        }
        let mut attacks = Vec::new();
        for (index, line) in lines {
            let fields: Vec<&str> = line.splitn(10, ',').collect();
            let [from, to, label, kind, source, target, source_port, target_port, ..] = fields[..] else {
                return Err(wrong(path, index + 1, "", line, "ten columns"));
            };
            if label != "attack" {
                continue;
            }
            let at = Line { path, number: index + 1 };
            attacks.push(Attack {
                from: at.time("from_s", from)?,
                to: at.time("to_s", to)?,
                kind: kind.to_owned(),
                source: at.prefix("source", source)?,
                target: at.prefix("target", target)?,
                source_port: at.port("source_port", source_port)?,
                target_port: at.port("target_port", target_port)?,
            });
        }
        Ok(Self { attacks })
    }

    /// Attack class of a record; `None` is benign.
    pub(super) fn attack(&self, record: &FlowRecord) -> Option<&str> {
        let ends = [(record.source, record.source_port), (record.destination, record.destination_port)];
        let attack = self.attacks.iter().find(|attack| {
            record.end >= attack.from
                && record.start <= attack.to
                && (attack.matches(ends[0], ends[1]) || attack.matches(ends[1], ends[0]))
        });
        attack.map(|attack| attack.kind.as_str())
    }
}

impl Attack {
    fn matches(&self, source: (Address, u16), target: (Address, u16)) -> bool {
        let within = |prefix: &Option<Prefix>, address| prefix.is_none_or(|prefix| prefix.contains(address));
        let is = |expected: Option<u16>, port| expected.is_none_or(|expected| expected == port);
        within(&self.source, &source.0)
            && within(&self.target, &target.0)
            && is(self.source_port, source.1)
            && is(self.target_port, target.1)
    }
}

struct Line<'a> {
    path: &'a Path,
    number: usize,
}

impl Line<'_> {
    fn wrong(&self, column: &str, found: &str, expected: &str) -> DatasetError {
        wrong(self.path, self.number, column, found, expected)
    }

    fn time(&self, column: &str, text: &str) -> Result<Timestamp, DatasetError> {
        let seconds: f64 = text.parse().map_err(|_| self.wrong(column, text, "seconds since the epoch"))?;
        Ok(Timestamp::from_nanos((seconds * 1e9) as u64))
    }

    fn port(&self, column: &str, text: &str) -> Result<Option<u16>, DatasetError> {
        if text == "*" || text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| self.wrong(column, text, "a port or *"))
    }

    fn prefix(&self, column: &str, text: &str) -> Result<Option<Prefix>, DatasetError> {
        if text == "*" || text.is_empty() {
            return Ok(None);
        }
        let wrong = || self.wrong(column, text, "an address, a prefix or *");
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let length: Option<u8> = length.map(str::parse).transpose().map_err(|_| wrong())?;
        Ok(Some(match address.parse().map_err(|_| wrong())? {
            IpAddr::V4(address) => Prefix::v4(address.octets(), length.unwrap_or(32)),
            IpAddr::V6(address) => Prefix::new(Address(address.octets()), length.unwrap_or(128)),
        }))
    }
}

fn wrong(path: &Path, line: usize, column: &str, found: &str, expected: &str) -> DatasetError {
    DatasetError::Line {
        path: PathBuf::from(path),
        line,
        column: column.into(),
        found: format!("found `{}`", found.chars().take(60).collect::<String>()),
        expected: expected.into(),
    }
}
