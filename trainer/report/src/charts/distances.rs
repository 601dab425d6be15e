//! How far each feature moved, as bars, with the threshold from which it counts.

use super::left_out;
use crate::canvas::{SMALL, Side, WIDTH, Words, picture, short, width};
use crate::error::ReportError;
use crate::palette::{BLUE, INK, VERMILLION};
use crate::picture::Picture;
use crate::plot::Plot;
use crate::scale::{Scale, plain};

const DRAWN: usize = 24;
const ROW: i32 = 42;
const TOP: i32 = 54;

/// One feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distance {
    /// Feature, or the score.
    pub name: String,
    /// How far it moved, 0 and more.
    pub value: f64,
}

/// Distances, the farthest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distances {
    /// Heading.
    pub title: String,
    /// Name of the distance, with its unit.
    pub axis: String,
    /// What a reader must know.
    pub note: String,
    /// Features.
    pub bars: Vec<Distance>,
    /// Distance from which it counts.
    pub threshold: f64,
    /// The one that is always drawn, after the others where it is not among the farthest.
    pub always: String,
}

impl Distances {
    /// Draws it.
    ///
    /// # Errors
    /// When no distance is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let mut bars: Vec<&Distance> = self.bars.iter().filter(|bar| bar.value.is_finite()).collect();
        if bars.is_empty() {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one distance" });
        }
        bars.sort_by(|a, b| b.value.total_cmp(&a.value));
        let drawn: Vec<&Distance> = bars
            .iter()
            .enumerate()
            .filter(|(place, bar)| *place < DRAWN || bar.name == self.always)
            .map(|(_, bar)| *bar)
            .collect();
        let over = bars.iter().filter(|bar| bar.value > self.threshold).count();
        let mut caption = format!("{} {over} of {} are over the threshold.", self.note, bars.len());
        if drawn.len() < bars.len() {
            caption += &format!(" The {} farthest are drawn", DRAWN.min(bars.len()));
            caption += &if drawn.len() > DRAWN { format!(", and {}.", self.always) } else { ".".into() };
        }
        caption += &left_out(self.bars.len() - bars.len());
        let left = drawn.iter().map(|bar| width(&short(&bar.name, 32), SMALL)).max().unwrap_or(0) + 24;
        let bottom = TOP + ROW * drawn.len() as i32;
        let x = Scale::around(&*self.axis, drawn.iter().map(|bar| bar.value).chain([self.threshold]));
        let plot = Plot { left, top: TOP, right: WIDTH - 120, bottom, x, y: Scale::bare() };
        picture(&self.title, caption.trim(), bottom + 90, |canvas| {
            plot.axes(canvas);
            for (place, bar) in drawn.iter().enumerate() {
                let y = TOP + ROW * place as i32 + ROW / 2;
                let end = plot.at(bar.value, 0.0).0;
                let colour = if bar.value > self.threshold { VERMILLION } else { BLUE };
                canvas.words(&short(&bar.name, 32), (left - 12, y), Words::new(Side::Right).small());
                canvas.fill([(left, y - 13), (end, y + 13)], colour, 0.6);
                canvas.words(&plain(bar.value), (end + 14, y), Words::new(Side::Left).small());
            }
            let (x, _) = plot.at(self.threshold, 0.0);
            canvas.dashed((x, TOP), (x, bottom), INK);
            let name = format!("threshold {}", plain(self.threshold));
            canvas.words(&name, (x, TOP - 24), Words::new(Side::Middle).small());
        })
    }
}
