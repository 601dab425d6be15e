//! Colours, dashes and markers that tell series apart, also without colour.
//!
//! Okabe and Ito 2008, "Color Universal Design", ordered so that neighbours differ in lightness too; yellow comes last
//! because it is faint on white.

use plotters::style::RGBColor;

/// Text and axes; a page replaces it by its own ink, so that dark pages work.
pub(crate) const INK: RGBColor = RGBColor(0x1F, 0x23, 0x28);
/// Second-rank text.
pub(crate) const FAINT: RGBColor = RGBColor(0x5B, 0x63, 0x70);
/// Grid lines.
pub(crate) const GRID: RGBColor = RGBColor(0xD8, 0xDC, 0xE1);
/// Blue of the palette: the first series, cells of a matrix.
pub(crate) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
/// Vermillion of the palette: thresholds, attacks.
pub(crate) const VERMILLION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);

const COLOURS: [RGBColor; 8] = [
    BLUE,
    VERMILLION,
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0xE6, 0x9F, 0x00),
    INK,
    RGBColor(0xF0, 0xE4, 0x42),
];

/// Dash and gap in canvas units; a gap of 0 is a solid line.
const DASHES: [(i32, i32); 8] = [(1, 0), (20, 9), (5, 8), (34, 9), (12, 12), (44, 18), (9, 5), (3, 14)];

/// Shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Triangle,
    Square,
    Diamond,
    Plus,
    Cross,
    Ring,
    Down,
}

const MARKERS: [Marker; 8] = [
    Marker::Circle,
    Marker::Triangle,
    Marker::Square,
    Marker::Diamond,
    Marker::Plus,
    Marker::Cross,
    Marker::Ring,
    Marker::Down,
];

/// How one series looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) colour: RGBColor,
    pub(crate) dash: (i32, i32),
    pub(crate) marker: Marker,
}

/// Look of the series at this place. Colours repeat after 8, and then with another dash and marker: 56 are different.
pub(crate) fn look(series: usize) -> Look {
    let turn = series / COLOURS.len();
    Look {
        colour: COLOURS[series % COLOURS.len()],
        dash: DASHES[(series + turn) % DASHES.len()],
        marker: MARKERS[(series + turn) % MARKERS.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_fifty_six_series_look_alike() {
        let looks: Vec<Look> = (0..56).map(look).collect();
        for (place, a) in looks.iter().enumerate() {
            assert!(looks[..place].iter().all(|b| a != b), "series {place} repeats");
        }
    }
}
