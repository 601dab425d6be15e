//! Nanoseconds per row of the `int8` engine at batch size 1, for the default network and the widest hidden layers.
//!
//! `cargo bench -p lapwing-shared --bench network --profile dev` builds with the settings of the tests.

use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, Int8Network, MAGIC, Scratch};
use std::hint::black_box;
use std::time::Instant;

const ROWS: u32 = 20_000;
const ROUNDS: usize = 9;

fn main() {
    let shapes: [(u8, &[usize]); 3] = [
        (1, &[FEATURES, 24, 8, 24, FEATURES]),
        (1, &[FEATURES, 96, 32, 96, FEATURES]),
        (1, &[FEATURES, 256, 32, 256, FEATURES]),
    ];
    for (latent, widths) in shapes {
        let network = Int8Network::parse(artifact(latent, widths)).expect("the bench's own artifact is well formed");
        println!("{widths:?}: {:.0} ns per row", nanos_per_row(&network));
    }
}

/// Minimum over several rounds, because the machine may be shared.
fn nanos_per_row(network: &Int8Network<Vec<u8>>) -> f64 {
    let (mut scratch, mut out) = (Scratch::default(), Inference::default());
    let input: [i8; FEATURES] = core::array::from_fn(|index| (index as i8).wrapping_mul(37));
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
        let start = Instant::now();
        for _ in 0..ROWS {
            network.run(black_box(&input), &mut scratch, &mut out);
            black_box(&out);
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(ROWS));
    }
    best
}

fn artifact(latent: u8, widths: &[usize]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([widths.len() as u8 - 1, latent, FEATURES as u8, 0]);
    for (index, pair) in widths.windows(2).enumerate() {
        bytes.extend((pair[1] as u16).to_le_bytes());
        bytes.extend([u8::from(index + 2 < widths.len()), 14]);
        bytes.extend(37_u16.to_le_bytes());
        bytes.extend((0..4 * pair[1]).map(|_| 0));
        bytes.extend((0..pair[0] * pair[1]).map(|weight| (weight * 73 % 251) as u8));
    }
    bytes
}
