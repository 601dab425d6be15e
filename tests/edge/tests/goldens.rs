//! Every stage gives the expected bits with every engine of this build.
//!
//! `tests/run arm` checks the same on ARM processors. `BLESS=1` rewrites the goldens.

use lapwing_edge_tests::goldens::{Drawn, GOLDENS, differences, draw, engines};

#[test]
fn every_stage_gives_the_same_bits_with_every_engine() {
    for engine in engines() {
        let drawn = draw(*engine).unwrap();
        if std::env::var_os("BLESS").is_some() {
            let lines: Vec<String> = drawn.iter().map(|one| one.line() + "\n").collect();
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/data/goldens.txt"), lines.concat()).unwrap();
            continue;
        }
        let differences = differences(&drawn);
        assert!(differences.is_empty(), "{engine:?}:\n{}", differences.join("\n"));
    }
}

#[test]
fn one_changed_bit_is_a_difference() {
    let mut drawn: Vec<Drawn> = draw(engines()[0]).unwrap();
    assert_eq!(drawn.len(), GOLDENS.lines().count());
    drawn[0].text[100] ^= 1;
    assert_eq!(differences(&drawn).len(), 1);
    drawn.pop();
    assert_eq!(differences(&drawn).len(), 2);
}
