//! A random codebook → nanoseconds per row for the distance to the nearest code; compare with `shared`'s network bench.
//!
//! `cargo bench -p lapwing-lab --bench codes --profile dev` builds with the settings of the tests.

use lapwing_lab::evaluate::Int8Codes;
use lapwing_shared::features::FEATURES;
use std::hint::black_box;
use std::time::Instant;

const ROWS: u32 = 20_000;
const ROUNDS: usize = 9;

fn main() {
    for count in [250, 1_000] {
        let mut random = fastrand::Rng::with_seed(1);
        let mut row = || -> [i8; FEATURES] { std::array::from_fn(|_| random.i8(-127..=127)) };
        let codes = Int8Codes::new((0..count).map(|_| row()));
        println!("{count} codes, {} bytes: {:.0} ns a row", codes.size_bytes(), nanos_per_row(&codes, &row()));
    }
}

/// Best of a few rounds: the machine may be shared.
fn nanos_per_row(codes: &Int8Codes, row: &[i8; FEATURES]) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
        let start = Instant::now();
        for _ in 0..ROWS {
            black_box(codes.distance(black_box(row)));
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(ROWS));
    }
    best
}
