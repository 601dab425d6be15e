//! Shares by category → horizontal bars with confidence intervals.

use crate::canvas::{Align, SMALL, TextStyle, WIDTH, picture, short, width};
use crate::error::ReportError;
use crate::palette::{BLUE, INK};
use crate::picture::Picture;
use crate::plot::Plot;
use crate::scale::{Scale, grouped};

/// Maximum number of bars.
const BARS: usize = 40;
const ROW: i32 = 50;
const TOP: i32 = 16;

/// A share of one category, drawn as a bar.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Bar {
    /// Category, e.g. an attack type.
    pub name: String,
    pub rows: usize,
    /// Share, 0 to 1.
    pub value: f64,
    pub interval: Option<(f64, f64)>,
}

/// Shares by category, e.g. recall by attack type.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Recalls {
    pub title: String,
    pub axis: String,
    /// Start of the caption, e.g. how the interval was computed.
    pub note: String,
    /// Bars, in drawing order.
    pub bars: Vec<Bar>,
}

impl Recalls {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no value is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let bars: Vec<&Bar> = self.bars.iter().filter(|bar| bar.value.is_finite()).collect();
        if bars.is_empty() {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one value" });
        }
        let mut caption = self.note.clone();
        if bars.len() < self.bars.len() {
            caption += &format!(" {} categories without a value are omitted.", self.bars.len() - bars.len());
        }
        if bars.len() > BARS {
            caption += &format!(" Only the first {BARS} of {} categories are drawn.", bars.len());
        }
        let bars: Vec<&Bar> = bars.into_iter().take(BARS).collect();
        let name = |bar: &Bar| format!("{} ({})", short(&bar.name, 24), grouped(&bar.rows.to_string()));
        let left = bars.iter().map(|bar| width(&name(bar), SMALL)).max().unwrap_or(0) + 20;
        let bottom = TOP + ROW * bars.len() as i32;
        let x = Scale::linear(self.axis.clone(), 0.0, 1.0);
        let y = Scale::bare();
        let plot = Plot { left, top: TOP, right: WIDTH - 120, bottom, x, y };
        picture(&self.title, &caption, bottom + 90, |canvas| {
            plot.axes(canvas);
            for (index, bar) in bars.iter().enumerate() {
                let y = TOP + ROW * index as i32 + ROW / 2;
                let at = |value: f64| plot.at(value, 0.0).0;
                canvas.text(&name(bar), (left - 12, y), TextStyle::new(Align::Right).small());
                canvas.fill([(left, y - 15), (at(bar.value), y + 15)], BLUE, 0.55);
                let mut end = at(bar.value);
                if let Some((low, high)) = bar.interval {
                    let (low, high) = (at(low), at(high));
                    canvas.line(&[(low, y), (high, y)], INK, 3);
                    canvas.line(&[(low, y - 9), (low, y + 9)], INK, 3);
                    canvas.line(&[(high, y - 9), (high, y + 9)], INK, 3);
                    end = end.max(high);
                }
                let text = format!("{:.3}", bar.value);
                canvas.text(&text, (end + 14, y), TextStyle::new(Align::Left).small());
            }
        })
    }
}
