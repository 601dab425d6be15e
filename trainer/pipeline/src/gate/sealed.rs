//! The attacks in this project's captures → the rows that each new release replays, embedded in the program.
//!
//! `attacks.bin` has the first rows of each attack. A test compares it with the captures; after a change of the features,
//! `BLESS=1 cargo test --workspace the_embedded_attacks` rewrites it.
//!
//! Bytes, integers little-endian: schema id (32), number of attacks (1); for each attack the length of its name (1), the
//! name, the number of rows (1); for each row milliseconds since the attack's first row (4), source (16), destination
//! (16), a bit for each feature that differs from the previous row (6), and those features (4 each).

use super::{Attack, attack_row};
use crate::dataset::Row;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::units::{Address, Nanos, Timestamp};

const BYTES: &[u8] = include_bytes!("attacks.bin");
const MASK_BYTES: usize = FEATURES.div_ceil(8);
/// Time of every attack's first row, after the epoch, so that episodes have a number.
const START: Timestamp = Timestamp::from_secs(1_000_000);

/// The embedded attacks. Empty if they are of another feature schema than this program's.
pub fn attacks() -> Vec<Attack> {
    decode(BYTES).unwrap_or_default()
}

/// A row with what the file contains.
fn rebuilt(after_ms: u32, source: Address, destination: Address, features: FeatureVector) -> Row {
    attack_row(START.plus(Nanos(u64::from(after_ms) * 1_000_000)), source, destination, features)
}

/// The attacks in a file; `None` if it has another schema or is damaged.
fn decode(bytes: &[u8]) -> Option<Vec<Attack>> {
    let mut rest = bytes;
    if take::<32>(&mut rest)? != schema_id() {
        return None;
    }
    let [count] = take(&mut rest)?;
    let attacks = (0..count).map(|_| attack(&mut rest)).collect::<Option<Vec<_>>>()?;
    rest.is_empty().then_some(attacks)
}

fn attack(rest: &mut &[u8]) -> Option<Attack> {
    let [length] = take(rest)?;
    let (name, after) = rest.split_at_checked(usize::from(length))?;
    *rest = after;
    let name = String::from_utf8(name.to_vec()).ok()?;
    let [count] = take(rest)?;
    let mut features = [0.0; FEATURES];
    let mut rows = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let after_ms = u32::from_le_bytes(take(rest)?);
        let (source, destination) = (Address(take(rest)?), Address(take(rest)?));
        let mask: [u8; MASK_BYTES] = take(rest)?;
        for (index, feature) in features.iter_mut().enumerate() {
            if mask.get(index / 8)? & (1 << (index % 8)) != 0 {
                *feature = f32::from_le_bytes(take(rest)?);
            }
        }
        rows.push(rebuilt(after_ms, source, destination, features));
    }
    Some(Attack { name, rows })
}

/// The next bytes.
fn take<const BYTES: usize>(rest: &mut &[u8]) -> Option<[u8; BYTES]> {
    let (taken, after) = rest.split_first_chunk::<BYTES>()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Dataset, capture};
    use std::collections::BTreeMap;
    use std::path::Path;

    /// Rows of an attack to keep: an attack that is not detected by then is hardly ever.
    const ROWS: usize = 24;

    /// The first rows of each attack class in each file of a labelled data set; a file is named by `names`.
    fn select(dataset: &Dataset, names: &[&str]) -> Vec<Attack> {
        let mut rows: Vec<&Row> = dataset.rows.iter().collect();
        rows.sort_by_key(|row| row.at);
        let mut attacks: BTreeMap<(u32, &str), Vec<&Row>> = BTreeMap::new();
        for row in rows {
            let Some(class) = &row.attack else { continue };
            let kept = attacks.entry((row.site, class)).or_default();
            if kept.len() < ROWS {
                kept.push(row);
            }
        }
        let attack = |((site, class), rows): ((u32, &str), Vec<&Row>)| {
            let file = names.get(site as usize).copied().unwrap_or_default();
            let first = rows.first().map_or(Timestamp::EPOCH, |row| row.at);
            let row = |row: &Row| rebuilt(millis(row.at.since(first)), row.source, row.destination, row.features);
            Attack { name: format!("{class} in {file}"), rows: rows.into_iter().map(row).collect() }
        };
        attacks.into_iter().map(attack).collect()
    }

    fn millis(span: Nanos) -> u32 {
        u32::try_from(span.0 / 1_000_000).unwrap_or(u32::MAX)
    }

    /// Encodes attacks of [`select`].
    fn encode(attacks: &[Attack]) -> Vec<u8> {
        let mut bytes = schema_id().to_vec();
        bytes.push(attacks.len() as u8);
        for attack in attacks {
            bytes.push(attack.name.len() as u8);
            bytes.extend(attack.name.as_bytes());
            bytes.push(attack.rows.len() as u8);
            let mut previous = [0.0; FEATURES];
            for row in &attack.rows {
                bytes.extend(millis(row.at.since(START)).to_le_bytes());
                bytes.extend(row.source.0);
                bytes.extend(row.destination.0);
                encode_features(&previous, &row.features, &mut bytes);
                previous = row.features;
            }
        }
        bytes
    }

    fn encode_features(previous: &FeatureVector, features: &FeatureVector, bytes: &mut Vec<u8>) {
        let mut mask = [0_u8; MASK_BYTES];
        let mut changed = Vec::new();
        for (index, (before, now)) in previous.iter().zip(features).enumerate() {
            if before.to_bits() != now.to_bits() {
                mask[index / 8] |= 1 << (index % 8);
                changed.extend(now.to_le_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(changed);
    }

    #[test]
    fn the_embedded_attacks_are_those_of_the_captures() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/captures");
        let names = ["home-a", "home-b"];
        let files = names.map(|name| folder.join(format!("{name}-attacks.pcap.gz")));
        let selected = select(&capture::read(&files).unwrap(), &names);
        let bytes = encode(&selected);
        assert!(selected.len() >= 18, "{} attacks", selected.len());
        assert!(bytes.len() < 100_000, "{} bytes", bytes.len());
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gate/attacks.bin"), bytes).unwrap();
            return;
        }
        assert!(bytes == BYTES, "the features of the captures changed; BLESS=1 rewrites the file");
        assert_eq!(attacks(), selected);
    }

    #[test]
    fn damaged_or_foreign_bytes_are_no_attacks() {
        assert!(decode(BYTES).is_some());
        assert!(decode(&BYTES[..BYTES.len() - 1]).is_none());
        let mut foreign = BYTES.to_vec();
        foreign[0] ^= 1;
        assert!(decode(&foreign).is_none());
    }
}
