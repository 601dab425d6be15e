//! Methods side by side: each run a dot, the mean and its interval.

use crate::canvas::{SMALL, Side, WIDTH, Words, picture, short, width};
use crate::error::ReportError;
use crate::palette::{BLUE, GRID, INK, look};
use crate::picture::Picture;
use crate::plot::Plot;
use crate::scale::Scale;

const METHODS: usize = 40;
const ROW: i32 = 54;
const TOP: i32 = 16;

/// One method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodRow {
    /// Method.
    pub name: String,
    /// Result of each run.
    pub runs: Vec<f64>,
    /// Mean of the runs.
    pub mean: f64,
    /// Interval of the mean, where there are runs enough.
    pub interval: Option<(f64, f64)>,
}

/// Comparison of methods by one measure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Methods {
    /// Name of the measure.
    pub measure: String,
    /// What a reader must know, like the number of seeds and how the interval was made.
    pub note: String,
    /// Methods, in the order drawn.
    pub rows: Vec<MethodRow>,
}

impl Methods {
    /// Draws it.
    ///
    /// # Errors
    /// When no mean is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = format!("Methods by {}", self.measure);
        let rows: Vec<&MethodRow> = self.rows.iter().filter(|row| row.mean.is_finite()).take(METHODS).collect();
        if rows.is_empty() {
            return Err(ReportError::Empty { picture: title, expected: "one method" });
        }
        let ends = rows.iter().filter_map(|row| row.interval).flat_map(|(low, high)| [low, high]);
        let all: Vec<f64> =
            rows.iter().flat_map(|row| row.runs.iter().copied().chain([row.mean])).chain(ends).collect();
        let left = rows.iter().map(|row| width(&short(&row.name, 32), SMALL)).max().unwrap_or(0) + 24;
        let bottom = TOP + ROW * rows.len() as i32;
        let x = Scale::close(&*self.measure, all.iter().copied());
        let y = Scale::bare();
        let plot = Plot { left, top: TOP, right: WIDTH - 140, bottom, x, y };
        let mut caption = format!("{} The axis does not begin at 0.", self.note);
        if rows.len() < self.rows.len() {
            caption += &format!(" {} of {} methods are drawn.", rows.len(), self.rows.len());
        }
        picture(&title, caption.trim(), bottom + 90, |canvas| {
            plot.axes(canvas);
            for (place, row) in rows.iter().enumerate() {
                let y = TOP + ROW * place as i32 + ROW / 2;
                let at = |value: f64| (plot.at(value, 0.0).0, y);
                canvas.words(&short(&row.name, 32), (left - 12, y), Words::new(Side::Right).small());
                canvas.line(&[(left, y), (plot.right, y)], GRID, 2);
                if let Some((low, high)) = row.interval {
                    canvas.fill([(at(low).0, y - 8), (at(high).0, y + 8)], BLUE, 0.3);
                }
                for run in row.runs.iter().filter(|run| run.is_finite()) {
                    canvas.marker(at(*run), crate::palette::Look { colour: INK, ..look(6) }, 7, 0.8);
                }
                canvas.marker(at(row.mean), look(0), 11, 1.0);
                let text = format!("{:.4}", row.mean);
                canvas.words(&text, (plot.right + 14, y), Words::new(Side::Left).small());
            }
        })
    }
}
