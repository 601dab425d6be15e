//! Which attack kind a flow resembles.

use crate::features::FEATURES;
use crate::verdict::scaling::{QuantizedInput, RowScaler};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Attack kinds that a release can describe.
pub const KINDS: usize = 16;

/// What an attack kind looks like to the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindProfile {
    /// Name of the kind, e.g. `port-scan`.
    pub name: String<32>,
    /// Mean quantized input of its rows, [`FEATURES`] values.
    pub centre: Vec<i8, FEATURES>,
    /// Largest weighted squared distance ([`RowScaler::score`] of input against centre) that still resembles it.
    pub radius: u32,
}

/// Index of the nearest kind whose radius reaches the row.
pub fn resembling(kinds: &[KindProfile], scaler: &RowScaler, input: &QuantizedInput) -> Option<usize> {
    let distance = |kind: &KindProfile| {
        let centre: &QuantizedInput = kind.centre.as_slice().try_into().ok()?;
        let distance = scaler.score(input, centre);
        (distance <= kind.radius).then_some(distance)
    };
    let near = kinds.iter().take(KINDS).enumerate().filter_map(|(index, kind)| Some((distance(kind)?, index)));
    near.min().map(|(_, index)| index)
}
