//! A codebook in int8 quanta and a row → squared distance to the nearest code, in exact integers.
//!
//! Only the lab computes it: the agents' engine runs networks only, and a release contains no codebook.

use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::scaling::QuantizedInput;

/// Added to each squared distance so that a row equal to a code keeps a score; less than one square quantum.
const CODE_FLOOR: f32 = 1e-3;

/// A code, widened once from the model's bytes.
type Wide = [i16; FEATURES];

/// Codebook: typical rows in the input units of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Int8Codes {
    codes: Vec<Wide>,
}

impl Int8Codes {
    /// Builds the codebook from quantized rows.
    pub fn new(codes: impl IntoIterator<Item = QuantizedInput>) -> Self {
        Self { codes: codes.into_iter().map(|code| wide(&code)).collect() }
    }

    /// Size in bytes, one per value.
    pub fn size_bytes(&self) -> usize {
        self.codes.len() * FEATURES
    }

    /// Squared distance to the nearest code in square quanta, above 0; 1 if the codebook is empty.
    pub fn distance(&self, input: &QuantizedInput) -> f32 {
        let input = wide(input);
        // 254² · FEATURES fits 32 bits with room to spare; wrapping arithmetic lets the compiler vectorize the loop.
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
    fn distance_is_to_the_nearest_code_and_1_without_codes() {
        let row = |first: i8| -> QuantizedInput { std::array::from_fn(|index| if index == 0 { first } else { 3 }) };
        assert_eq!(Int8Codes::default().distance(&row(5)), 1.0);
        let codes = Int8Codes::new([row(-127), row(1)]);
        assert_eq!((codes.distance(&row(5)), codes.size_bytes()), (16.0 + CODE_FLOOR, 2 * FEATURES));
        let far = Int8Codes::new([[-127; FEATURES]]);
        assert_eq!(far.distance(&[127; FEATURES]), 48.0 * 254.0 * 254.0);
    }
}
