//! Columns → one hash per row, equal for rows with equal features.
//!
//! Categories are hashed by text and numbers by their bits (−0 as 0, all NaN alike), so the keys of two tables with the
//! same columns are comparable. With 64 bits, two of 2.5 million distinct rows share a key with probability 2e-7.

use crate::column::{Column, Values};
use std::fmt::Write;

pub(crate) fn row_keys<'a>(columns: impl IntoIterator<Item = &'a Column>, rows: usize) -> Vec<u64> {
    let mut keys = vec![0x9e37_79b9_7f4a_7c15; rows];
    for column in columns {
        match &column.values {
            Values::Numbers(numbers) => {
                for (key, number) in keys.iter_mut().zip(numbers) {
                    *key = mix(*key, u64::from(canonical(*number)));
                }
            }
            Values::Categories { names, codes } => {
                let hashes: Vec<u64> = names.iter().map(|name| hash_text(name.as_bytes())).collect();
                for (key, code) in keys.iter_mut().zip(codes) {
                    *key = mix(*key, hashes.get(usize::from(*code)).copied().unwrap_or(0));
                }
            }
        }
    }
    keys
}

fn canonical(number: f32) -> u32 {
    if number.is_nan() {
        f32::NAN.to_bits()
    } else if number == 0.0 {
        0
    } else {
        number.to_bits()
    }
}

/// One round of a multiply-xorshift hash (the finalizer of SplitMix64, Steele et al. 2014).
pub(crate) fn mix(key: u64, value: u64) -> u64 {
    let mut mixed = key.rotate_left(23) ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn hash_text(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |hash, byte| mix(hash, u64::from(*byte)))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f32]) -> Column {
        Column { name: "n".into(), values: Values::Numbers(values.to_vec()) }
    }

    #[test]
    fn equal_rows_have_equal_keys_and_others_do_not() {
        let columns = [numbers(&[0.0, -0.0, 1.0, f32::NAN, f32::NAN]), numbers(&[2.0, 2.0, 2.0, 2.0, 3.0])];
        let keys = row_keys(&columns, 5);
        assert_eq!(keys[0], keys[1]);
        assert!(keys[0] != keys[2] && keys[3] != keys[4] && keys[0] != keys[3]);
    }

    #[test]
    fn categories_are_hashed_by_text() {
        let of = |names: &[&str], codes: &[u16]| Column {
            name: "c".into(),
            values: Values::Categories {
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                codes: codes.to_vec(),
            },
        };
        let one = row_keys(&[of(&["tcp", "udp"], &[0, 1])], 2);
        let other = row_keys(&[of(&["udp", "tcp"], &[1, 0])], 2);
        assert_eq!(one, other);
    }
}
