//! Arbitrary bytes as an int8 artifact → a network that runs on any input without a panic, or an error.
#![no_main]

use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, Int8Network, LATENT, Scratch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(network) = Int8Network::parse(input) else { return };
    let (mut scratch, mut inference) = (Scratch::default(), Inference::default());
    for quantum in [-127, 0, 127] {
        network.run(&[quantum; FEATURES], &mut scratch, &mut inference);
        assert!(usize::from(inference.latent_width) <= LATENT);
    }
});
