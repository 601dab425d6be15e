//! Series index → colour, dash pattern and marker, distinguishable without colour.
//!
//! Colours are from Okabe and Ito 2008, "Color Universal Design", ordered so that neighbours also differ in lightness.
//! Yellow is last because its contrast on white is low.

use plotters::style::RGBColor;

/// Text and axes; a page can override it for dark mode.
pub(crate) const INK: RGBColor = RGBColor(0x1F, 0x23, 0x28);
/// Secondary text.
pub(crate) const FAINT: RGBColor = RGBColor(0x5B, 0x63, 0x70);
pub(crate) const GRID: RGBColor = RGBColor(0xD8, 0xDC, 0xE1);
/// Blue of the palette: the first series, cells of a matrix.
pub(crate) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
/// Vermillion of the palette: thresholds, attacks, negative values.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesStyle {
    pub(crate) colour: RGBColor,
    pub(crate) dash: (i32, i32),
    pub(crate) marker: Marker,
}

/// Style of the series at this index. Colours repeat after 8 with another dash pattern and marker; 56 styles differ.
pub(crate) fn series_style(series: usize) -> SeriesStyle {
    let cycle = series / COLOURS.len();
    SeriesStyle {
        colour: COLOURS[series % COLOURS.len()],
        dash: DASHES[(series + cycle) % DASHES.len()],
        marker: MARKERS[(series + cycle) % MARKERS.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_six_series_have_different_styles() {
        let styles: Vec<SeriesStyle> = (0..56).map(series_style).collect();
        for (index, a) in styles.iter().enumerate() {
            assert!(styles[..index].iter().all(|b| a != b), "series {index} repeats");
        }
    }
}
