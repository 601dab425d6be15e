//! Recall by attack kind, with confidence intervals.

use crate::canvas::{SMALL, Side, WIDTH, Words, picture, short, width};
use crate::error::ReportError;
use crate::palette::{BLUE, INK};
use crate::picture::Picture;
use crate::plot::Plot;
use crate::scale::{Scale, grouped};

const KINDS: usize = 40;
const ROW: i32 = 50;
const TOP: i32 = 16;

/// One kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bar {
    /// Kind.
    pub name: String,
    /// Rows of that kind.
    pub rows: usize,
    /// Value, 0 to 1.
    pub value: f64,
    /// Confidence interval, where there is one.
    pub interval: Option<(f64, f64)>,
}

/// Bars of shares by kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recalls {
    /// Heading.
    pub title: String,
    /// Name of the axis.
    pub axis: String,
    /// What a reader must know, like how the interval was made.
    pub note: String,
    /// Kinds, in the order drawn.
    pub bars: Vec<Bar>,
}

impl Recalls {
    /// Draws it.
    ///
    /// # Errors
    /// When there is no finite value.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let bars: Vec<&Bar> = self.bars.iter().filter(|bar| bar.value.is_finite()).collect();
        if bars.is_empty() {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one kind" });
        }
        let mut caption = self.note.clone();
        if bars.len() < self.bars.len() {
            caption += &format!(" {} kinds without a value are left out.", self.bars.len() - bars.len());
        }
        if bars.len() > KINDS {
            caption += &format!(" Only the first {KINDS} of {} kinds are drawn.", bars.len());
        }
        let bars: Vec<&Bar> = bars.into_iter().take(KINDS).collect();
        let name = |bar: &Bar| format!("{} ({})", short(&bar.name, 24), grouped(&bar.rows.to_string()));
        let left = bars.iter().map(|bar| width(&name(bar), SMALL)).max().unwrap_or(0) + 20;
        let bottom = TOP + ROW * bars.len() as i32;
        let x = Scale::linear(self.axis.clone(), 0.0, 1.0);
        let y = Scale::bare();
        let plot = Plot { left, top: TOP, right: WIDTH - 120, bottom, x, y };
        picture(&self.title, &caption, bottom + 90, |canvas| {
            plot.axes(canvas);
            for (place, bar) in bars.iter().enumerate() {
                let y = TOP + ROW * place as i32 + ROW / 2;
                let at = |value: f64| plot.at(value, 0.0).0;
                canvas.words(&name(bar), (left - 12, y), Words::new(Side::Right).small());
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
                canvas.words(&text, (end + 14, y), Words::new(Side::Left).small());
            }
        })
    }
}
