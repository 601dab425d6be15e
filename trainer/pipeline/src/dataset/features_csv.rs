//! Feature files from `lapwing-agent replay --features` → rows.

use super::{Dataset, DatasetError, Row};
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::units::{Address, Timestamp};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Columns to read besides the features.
const KEYS: [&str; 4] = ["end_s", "source", "destination", "destination_port"];

/// Reads each file, line by line.
///
/// # Errors
/// The first file that cannot be read, lacks a column, or has an invalid number.
pub fn read(paths: &[PathBuf]) -> Result<Dataset, DatasetError> {
    let mut dataset = Dataset::default();
    for (file, path) in paths.iter().enumerate() {
        let failed = |source| DatasetError::Read { path: path.clone(), source };
        let mut lines = BufReader::new(File::open(path).map_err(failed)?).lines().enumerate();
        let header = lines.next().map(|(_, line)| line.map_err(failed)).transpose()?.unwrap_or_default();
        let columns = Columns::find(path, header.trim_start_matches('\u{feff}').trim_end())?;
        for (index, line) in lines {
            let line = line.map_err(failed)?;
            if !line.trim().is_empty() {
                dataset.rows.push(columns.row(path, file as u32, index + 1, line.trim_end())?);
            }
        }
    }
    Ok(dataset)
}

struct Columns {
    keys: [usize; KEYS.len()],
    features: [usize; FEATURES],
    count: usize,
}

impl Columns {
    fn find(path: &Path, header: &str) -> Result<Self, DatasetError> {
        let names: Vec<&str> = header.split(',').collect();
        let index = |name: &str| {
            names.iter().position(|other| *other == name).ok_or_else(|| DatasetError::Line {
                path: path.into(),
                line: 1,
                column: name.into(),
                found: "no such column".into(),
                expected: "a header as `lapwing-agent replay --features` writes it".into(),
            })
        };
        let (mut keys, mut features) = ([0; KEYS.len()], [0; FEATURES]);
        for (key, name) in keys.iter_mut().zip(KEYS) {
            *key = index(name)?;
        }
        for (feature, described) in features.iter_mut().zip(&SCHEMA) {
            *feature = index(described.name)?;
        }
        Ok(Self { keys, features, count: names.len() })
    }

    fn row(&self, path: &Path, file: u32, line: usize, text: &str) -> Result<Row, DatasetError> {
        let fields: Vec<&str> = text.split(',').collect();
        let wrong = |column: &str, found: &str, expected: &str| DatasetError::Line {
            path: path.into(),
            line,
            column: column.into(),
            found: format!("found `{found}`"),
            expected: expected.into(),
        };
        if fields.len() != self.count {
            return Err(wrong("", &format!("{} fields", fields.len()), &format!("{}", self.count)));
        }
        let [end, source, destination, port] = self.keys.map(|index| fields[index]);
        let seconds: f64 = end.parse().map_err(|_| wrong("end_s", end, "seconds since the epoch"))?;
        let mut features = [0.0; FEATURES];
        for ((value, index), described) in features.iter_mut().zip(self.features).zip(&SCHEMA) {
            let number: Result<f32, _> = fields[index].parse();
            *value = match number {
                Ok(number) if number.is_finite() => number,
                _ => return Err(wrong(described.name, fields[index], "a finite number")),
            };
        }
        Ok(Row {
            site: file,
            at: Timestamp::from_nanos((seconds * 1e9) as u64),
            source: address(source),
            destination: address(destination),
            service_port: port.parse().map_err(|_| wrong("destination_port", port, "a port"))?,
            features,
            attack: None,
            suspect: false,
            weight: 1.0,
            under_release: false,
        })
    }
}

/// An IP address. MAC addresses, which replace missing IP addresses, become the unspecified address.
fn address(text: &str) -> Address {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Address::from_v4(address.octets()),
        Ok(IpAddr::V6(address)) => Address(address.octets()),
        Err(_) => Address::default(),
    }
}
