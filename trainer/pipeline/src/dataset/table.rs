//! Rows of captures → a table with the 48 features, the attack class, the record's time, the initiator, and the capture
//! as group.

use super::Dataset;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::release::digest::Hex;
use lapwing_tables::{ColumnType, Row, Table, TableBuilder, TableError, Value};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

/// Converts a dataset read from `files`; files from index `test` on are test files.
///
/// # Errors
/// No rows, too many files, or a file that cannot be read for its digest.
pub(super) fn of(dataset: &Dataset, files: &[PathBuf], test: usize) -> Result<Table, TableError> {
    let mut builder = TableBuilder::new(SCHEMA.iter().map(|feature| (feature.name, ColumnType::Number)))?;
    let (mut file, mut file_row, mut group) = (None, 0, String::new());
    for row in &dataset.rows {
        if file != Some(row.site) {
            let path = files.get(row.site as usize);
            group = path.map_or_else(String::new, |path| path.display().to_string());
            let name = path.and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
            let digest = path.map_or_else(|| Ok(String::new()), |path| digest(path))?;
            builder.file(&name.unwrap_or_default(), &digest, u8::from(row.site as usize >= test))?;
            (file, file_row) = (Some(row.site), 0);
        }
        file_row += 1;
        let values = row.features.map(Value::Number);
        let source = address(row.source.0);
        builder.push(
            &values,
            &Row {
                attack: row.attack.as_deref(),
                time: Some(row.at.as_nanos() as f64 / 1e9),
                group: Some(&group),
                source: Some(&source),
                file_row,
                ..Row::default()
            },
        )?;
    }
    builder.finish()
}

/// SHA-256 of a file, hexadecimal.
fn digest(path: &Path) -> Result<String, TableError> {
    let failed = |source| TableError::Read { path: path.into(), source };
    let mut file = File::open(path).map_err(failed)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(Hex(&hash.finalize()).to_string()),
            count => hash.update(&buffer[..count]),
        }
    }
}

fn address(octets: [u8; 16]) -> String {
    let address = Ipv6Addr::from(octets);
    address.to_ipv4_mapped().map_or_else(|| address.to_string(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Row as Flow;
    use lapwing_shared::units::{Address, Timestamp};

    #[test]
    fn rows_keep_features_class_time_initiator_and_capture() {
        let folder = std::env::temp_dir().join(format!("lapwing-capture-table-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = ["a.pcap", "b.pcap"].map(|name| folder.join(name));
        files.iter().for_each(|path| std::fs::write(path, path.display().to_string()).unwrap());
        let flow = |site: u32, attack: Option<&str>| Flow {
            site,
            at: Timestamp::from_nanos(1_500_000_000_000_000_000 + u64::from(site)),
            source: Address::from_v4([192, 168, 1, 7]),
            destination: Address::default(),
            service_port: 443,
            features: std::array::from_fn(|at| (at as u32 + site) as f32),
            attack: attack.map(str::to_owned),
            suspect: false,
            weight: 1.0,
            under_release: false,
        };
        let rows = vec![flow(0, None), flow(0, Some("scan")), flow(1, None)];
        let table = of(&Dataset { rows, warnings: Vec::new() }, &files, 1).unwrap();
        assert_eq!((table.rows(), table.columns().len()), (3, SCHEMA.len()));
        assert_eq!((table.kinds()[1].as_str(), table.kind()), ("scan", &[0, 1, 0][..]));
        assert_eq!(table.sources().unwrap().of(0), "192.168.1.7");
        assert_ne!(table.groups().unwrap().codes[0], table.groups().unwrap().codes[2]);
        assert_eq!((table.origin(2).as_str(), table.part()), ("b.pcap, row 1", &[0, 0, 1][..]));
        assert!(table.files().iter().all(|file| file.sha256.len() == 64));
        assert!(of(&Dataset::default(), &files, 1).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
