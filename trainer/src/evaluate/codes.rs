//! Codes as int8 quanta → squared distance of a row to the nearest, exact in integers.
//!
//! It is computed in the trainer only: the agents' engine runs networks, and a release carries no codes.

use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::scaling::QuantizedInput;

/// Added to a squared distance, so that a row that is a code still has a score; less than one square quantum.
const CODE_FLOOR: f32 = 1e-3;

/// Quanta as the distance takes them: bytes in the model, widened once.
type Wide = [i16; FEATURES];

/// Typical rows in the units that a network reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Int8Codes {
    codes: Vec<Wide>,
}

impl Int8Codes {
    /// Codes from their quanta.
    pub fn new(codes: impl IntoIterator<Item = QuantizedInput>) -> Self {
        Self { codes: codes.into_iter().map(|code| wide(&code)).collect() }
    }

    /// Bytes that they take as quanta.
    pub fn size_bytes(&self) -> usize {
        self.codes.len() * FEATURES
    }

    /// Squared distance to the nearest code, in square quanta and over 0; 1 without codes.
    pub fn distance(&self, input: &QuantizedInput) -> f32 {
        let input = wide(input);
        // 254² · FEATURES fits 32 bits with room to spare; wrapping leaves the loop to vector instructions.
        let square = |code: &Wide| {
            code.iter().zip(&input).fold(0_i32, |sum, (code, value)| {
                let part = i32::from(code.wrapping_sub(*value));
                sum.wrapping_add(part.wrapping_mul(part))
            })
        };
        self.codes.iter().map(square).min().map_or(1.0, |nearest| nearest as f32 + CODE_FLOOR)
    }
}

fn wide(quanta: &QuantizedInput) -> Wide {
    quanta.map(i16::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_code_decides_and_no_code_changes_nothing() {
        let row = |first: i8| -> QuantizedInput { std::array::from_fn(|place| if place == 0 { first } else { 3 }) };
        assert_eq!(Int8Codes::default().distance(&row(5)), 1.0);
        let codes = Int8Codes::new([row(-127), row(1)]);
        assert_eq!((codes.distance(&row(5)), codes.size_bytes()), (16.0 + CODE_FLOOR, 2 * FEATURES));
        let far = Int8Codes::new([[-127; FEATURES]]);
        assert_eq!(far.distance(&[127; FEATURES]), 48.0 * 254.0 * 254.0);
    }
}
