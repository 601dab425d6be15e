//! Share of a fleet by hour → lines, one for each kind of release.

use super::omitted;
use crate::canvas::picture;
use crate::error::ReportError;
use crate::palette::series_style;
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Swatch};
use crate::scale::Scale;

const TOP: i32 = 24;
const AREA: i32 = 480;

/// One line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RolloutLine {
    /// Name, e.g. of the kind of release.
    pub name: String,
    /// Hours since the start, and percent of the agents.
    pub points: Vec<(f64, f64)>,
}

/// Progress of rollouts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollouts {
    /// Title.
    pub title: String,
    /// What the lines are, in a sentence.
    pub note: String,
    /// Lines.
    pub lines: Vec<RolloutLine>,
}

impl Rollouts {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no point is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let all = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let finite = |(hour, share): &(f64, f64)| hour.is_finite() && share.is_finite();
        if !all().any(|point| finite(&point)) {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one point of a line" });
        }
        let x = Scale::around("hours since the start", all().map(|(hour, _)| hour));
        let y = Scale::around("agents (%)", all().map(|(_, share)| share));
        let plot = Plot::new(x, y, TOP, TOP + AREA);
        let names = self.lines.iter().enumerate().map(|(index, line)| (line.name.clone(), series_style(index)));
        let legend = Legend::new(names, Swatch::Line);
        let left_out = all().filter(|point| !finite(point)).count();
        let caption = format!("{}{}", self.note, omitted(left_out));
        picture(&self.title, &caption, plot.bottom + BELOW + legend.height(), |canvas| {
            plot.axes(canvas);
            for (index, line) in self.lines.iter().enumerate() {
                plot.draw_line(canvas, &line.points, series_style(index));
            }
            legend.draw(canvas, plot.bottom + BELOW);
        })
    }
}
