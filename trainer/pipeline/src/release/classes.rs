//! Labelled rows → the profile of each attack class in the manifest.

use crate::dataset::Row;
use lapwing_shared::features::FEATURES;
use lapwing_shared::release::manifest::{KINDS, KindProfile};
use lapwing_shared::release::name::parse_name;
use lapwing_shared::verdict::scaling::{QuantizedInput, Scaling};
use std::collections::BTreeMap;

/// Share of a class's own rows within its radius.
const RADIUS_SHARE: f64 = 0.95;

/// Profiles of the attack classes among labelled rows, most frequent classes first.
pub(crate) fn class_profiles<'a>(
    labelled: impl Iterator<Item = &'a Row>,
    scaling: &Scaling,
) -> heapless::Vec<KindProfile, KINDS> {
    let mut by_class: BTreeMap<&str, Vec<QuantizedInput>> = BTreeMap::new();
    for row in labelled {
        if let Some(class) = &row.attack {
            by_class.entry(class).or_default().push(scaling.quantize(&row.features));
        }
    }
    let mut classes: Vec<_> = by_class.into_iter().collect();
    classes.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    classes.into_iter().filter_map(|(name, rows)| profile(name, &rows, scaling)).take(KINDS).collect()
}

/// Mean row, and the distance from it that includes 95 % of the rows. `None` without rows or with an invalid name.
pub(super) fn profile(name: &str, rows: &[QuantizedInput], scaling: &Scaling) -> Option<KindProfile> {
    let name = parse_name(name)?;
    let count = i64::try_from(rows.len()).ok().filter(|count| *count > 0)?;
    let mut centre = [0_i8; FEATURES];
    for (feature, mean) in centre.iter_mut().enumerate() {
        let sum: i64 = rows.iter().map(|row| i64::from(row[feature])).sum();
        *mean = sum.div_euclid(count).clamp(-127, 127) as i8;
    }
    let mut distances: Vec<u32> = rows.iter().map(|row| scaling.score(row, &centre)).collect();
    distances.sort_unstable();
    let radius = distances.get((distances.len() as f64 * RADIUS_SHARE) as usize).or(distances.last()).copied()?;
    Some(KindProfile { name, centre: centre.into_iter().collect(), radius })
}
