//! Labelled rows of one attack kind → its profile in the manifest.

use lapwing_shared::features::FEATURES;
use lapwing_shared::release::manifest::KindProfile;
use lapwing_shared::release::name::parse_name;
use lapwing_shared::verdict::scaling::{QuantizedInput, Scaling};

/// Share of a kind's own rows within its radius.
const RADIUS_SHARE: f64 = 0.95;

/// Mean row, and the distance from it that holds 95 % of the rows. `None` without rows, or with a name that is none.
pub fn profile(name: &str, rows: &[QuantizedInput], scaling: &Scaling) -> Option<KindProfile> {
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
