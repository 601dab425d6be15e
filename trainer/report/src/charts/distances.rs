//! Distance of each feature's distribution from its reference → horizontal bars with the drift threshold.

use super::omitted;
use crate::canvas::{Align, SMALL, TextStyle, WIDTH, picture, short, width};
use crate::error::ReportError;
use crate::palette::{BLUE, INK, VERMILLION};
use crate::picture::Picture;
use crate::plot::Plot;
use crate::scale::{Scale, short_number};

/// Maximum number of bars, without [`Distances::always`].
const DRAWN: usize = 24;
const ROW: i32 = 42;
const TOP: i32 = 54;

/// One feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distance {
    /// Feature, or the score.
    pub name: String,
    /// Distance, 0 or more.
    pub value: f64,
}

/// Distances, the largest first.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Distances {
    pub title: String,
    /// Axis title with the unit.
    pub axis: String,
    /// Start of the caption.
    pub note: String,
    /// Features, in any order.
    pub bars: Vec<Distance>,
    /// Distance above which a feature has drifted.
    pub threshold: f64,
    /// Name that is always drawn, last if it is not among the largest.
    pub always: String,
}

impl Distances {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no distance is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let mut bars: Vec<&Distance> = self.bars.iter().filter(|bar| bar.value.is_finite()).collect();
        if bars.is_empty() {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one distance" });
        }
        bars.sort_by(|a, b| b.value.total_cmp(&a.value));
        let drawn: Vec<&Distance> = bars
            .iter()
            .enumerate()
            .filter(|(index, bar)| *index < DRAWN || bar.name == self.always)
            .map(|(_, bar)| *bar)
            .collect();
        let over = bars.iter().filter(|bar| bar.value > self.threshold).count();
        let mut caption = format!("{} {over} of {} are above the threshold.", self.note, bars.len());
        if drawn.len() < bars.len() {
            caption += &format!(" Only the {} largest are drawn", DRAWN.min(bars.len()));
            caption += &if drawn.len() > DRAWN { format!(", and {}.", self.always) } else { ".".into() };
        }
        caption += &omitted(self.bars.len() - bars.len());
        let left = drawn.iter().map(|bar| width(&short(&bar.name, 32), SMALL)).max().unwrap_or(0) + 24;
        let bottom = TOP + ROW * drawn.len() as i32;
        let x = Scale::around(&*self.axis, drawn.iter().map(|bar| bar.value).chain([self.threshold]));
        let plot = Plot { left, top: TOP, right: WIDTH - 120, bottom, x, y: Scale::bare() };
        picture(&self.title, caption.trim(), bottom + 90, |canvas| {
            plot.axes(canvas);
            for (index, bar) in drawn.iter().enumerate() {
                let y = TOP + ROW * index as i32 + ROW / 2;
                let end = plot.at(bar.value, 0.0).0;
                let colour = if bar.value > self.threshold { VERMILLION } else { BLUE };
                canvas.text(&short(&bar.name, 32), (left - 12, y), TextStyle::new(Align::Right).small());
                canvas.fill([(left, y - 13), (end, y + 13)], colour, 0.6);
                canvas.text(&short_number(bar.value), (end + 14, y), TextStyle::new(Align::Left).small());
            }
            let (x, _) = plot.at(self.threshold, 0.0);
            canvas.dashed((x, TOP), (x, bottom), INK);
            let name = format!("threshold {}", short_number(self.threshold));
            canvas.text(&name, (x, TOP - 24), TextStyle::new(Align::Middle).small());
        })
    }
}
