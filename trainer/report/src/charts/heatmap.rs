//! Correlation matrix of features → heat map.

use crate::canvas::{Align, TextStyle, WIDTH, picture, short, width};
use crate::error::ReportError;
use crate::palette::{BLUE, VERMILLION};
use crate::picture::Picture;

/// Maximum number of features.
const FEATURES: usize = 50;
/// Maximum length of a feature name, characters.
const NAME: usize = 24;

/// Correlations, −1 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct HeatMap {
    pub title: String,
    /// Features.
    pub names: Vec<String>,
    /// Square matrix in the order of the names.
    pub values: Vec<Vec<f64>>,
}

impl HeatMap {
    /// Draws the chart.
    ///
    /// # Errors
    /// If there are no features, or the matrix does not fit their number.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let count = self.names.len();
        if count == 0 {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one feature" });
        }
        if self.values.len() != count || self.values.iter().any(|row| row.len() != count) {
            let (found, picture) = (self.values.len(), self.title.clone());
            return Err(ReportError::Shape { picture, what: "rows of correlations", found, expected: count });
        }
        let drawn = count.min(FEATURES);
        let size = if drawn > 30 { 15.0 } else { 21.0 };
        let names: Vec<String> = self.names.iter().take(drawn).map(|name| short(name, NAME)).collect();
        let left = names.iter().map(|name| width(name, size)).max().unwrap_or(0) + 20;
        let cell = ((WIDTH - left - 20) / drawn as i32).min(100);
        let bottom = 16 + cell * drawn as i32;
        picture(&self.title, &self.caption(drawn), bottom + left + 60, |canvas| {
            for (row, name) in names.iter().enumerate() {
                let middle = 16 + cell * row as i32 + cell / 2;
                canvas.text(name, (left - 8, middle), TextStyle { size, ..TextStyle::new(Align::Right) });
                let across = left + cell * row as i32 + cell / 2;
                canvas.text(
                    name,
                    (across, bottom + 10),
                    TextStyle { size, vertical: true, ..TextStyle::new(Align::Right) },
                );
                for column in 0..drawn {
                    self.cell(canvas, (row, column), (left + cell * column as i32, 16 + cell * row as i32), cell);
                }
            }
            key(canvas, left, bottom + left + 30);
        })
    }

    fn cell(&self, canvas: &mut crate::canvas::Canvas<'_>, (row, column): (usize, usize), at: (i32, i32), cell: i32) {
        let value = self.values[row][column];
        let corners = [at, (at.0 + cell - 1, at.1 + cell - 1)];
        if !value.is_finite() {
            let (from, to) = (corners[0], corners[1]);
            return canvas.line(&[from, to], crate::palette::FAINT, 2);
        }
        let colour = if value < 0.0 { VERMILLION } else { BLUE };
        canvas.fill(corners, colour, (value.abs() * 0.85).clamp(0.03, 0.85));
        if cell >= 64 {
            let middle = (at.0 + cell / 2, at.1 + cell / 2);
            canvas.text(&format!("{value:.2}"), middle, TextStyle { size: 21.0, ..TextStyle::new(Align::Middle) });
        } else if value <= -0.5 {
            // A minus sign, so that strong negative correlation is visible without colour.
            let middle = at.1 + cell / 2;
            canvas.line(&[(at.0 + cell / 4, middle), (at.0 + cell * 3 / 4, middle)], crate::palette::INK, 2);
        }
    }

    fn caption(&self, drawn: usize) -> String {
        let mut caption = String::from(
            "Blue: positive correlation; orange: negative correlation, with a dash at −0.5 and below; crossed-out \
             cells: a constant feature.",
        );
        if drawn < self.names.len() {
            caption += &format!(" Only the first {drawn} of {} features are drawn.", self.names.len());
        }
        caption
    }
}

fn key(canvas: &mut crate::canvas::Canvas<'_>, left: i32, y: i32) {
    for step in -10..=10 {
        let value = f64::from(step) / 10.0;
        let x = left + (step + 10) * 24;
        let colour = if step < 0 { VERMILLION } else { BLUE };
        canvas.fill([(x, y - 12), (x + 23, y + 12)], colour, (value.abs() * 0.85).clamp(0.03, 0.85));
    }
    canvas.text("−1", (left - 8, y), TextStyle::new(Align::Right).small());
    canvas.text("1", (left + 21 * 24 + 8, y), TextStyle::new(Align::Left).small());
}
