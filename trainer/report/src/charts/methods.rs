//! Results of several methods → one row per method with runs, mean and interval.

use crate::canvas::{Align, SMALL, TextStyle, WIDTH, picture, short, width};
use crate::error::ReportError;
use crate::palette::{BLUE, GRID, INK, series_style};
use crate::picture::Picture;
use crate::plot::Plot;
use crate::scale::Scale;

/// Maximum number of methods.
const METHODS: usize = 40;
const ROW: i32 = 54;
const TOP: i32 = 16;

/// Results of one method: a dot for each run and the interval of their mean.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct MethodRow {
    pub name: String,
    /// Result of each run.
    pub runs: Vec<f64>,
    /// Mean of the runs.
    pub mean: f64,
    /// Confidence interval of the mean; `None` for too few runs.
    pub interval: Option<(f64, f64)>,
}

/// Comparison of methods by one metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Methods {
    /// Name of the metric.
    pub measure: String,
    /// Start of the caption, e.g. the number of seeds and how the interval was computed.
    pub note: String,
    /// Methods, in drawing order.
    pub rows: Vec<MethodRow>,
}

impl Methods {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no mean is finite.
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
        let mut caption = format!("{} The axis does not start at 0.", self.note);
        if rows.len() < self.rows.len() {
            caption += &format!(" {} of {} methods are drawn.", rows.len(), self.rows.len());
        }
        picture(&title, caption.trim(), bottom + 90, |canvas| {
            plot.axes(canvas);
            for (index, row) in rows.iter().enumerate() {
                let y = TOP + ROW * index as i32 + ROW / 2;
                let at = |value: f64| (plot.at(value, 0.0).0, y);
                canvas.text(&short(&row.name, 32), (left - 12, y), TextStyle::new(Align::Right).small());
                canvas.line(&[(left, y), (plot.right, y)], GRID, 2);
                if let Some((low, high)) = row.interval {
                    canvas.fill([(at(low).0, y - 8), (at(high).0, y + 8)], BLUE, 0.3);
                }
                for run in row.runs.iter().filter(|run| run.is_finite()) {
                    canvas.marker(at(*run), crate::palette::SeriesStyle { colour: INK, ..series_style(6) }, 7, 0.8);
                }
                canvas.marker(at(row.mean), series_style(0), 11, 1.0);
                let text = format!("{:.4}", row.mean);
                canvas.text(&text, (plot.right + 14, y), TextStyle::new(Align::Left).small());
            }
        })
    }
}
