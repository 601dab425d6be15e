//! Distance of each feature's present distribution from that of training, over time.

use super::left_out;
use crate::canvas::picture;
use crate::error::ReportError;
use crate::palette::{FAINT, INK, look};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Sample};
use crate::scale::{Scale, extent, plain};

/// Features drawn in colour: the most distant ones.
const NAMED: usize = 7;
/// Features drawn at all.
const DRAWN: usize = 60;
const TOP: i32 = 24;
const AREA: i32 = 520;

/// One feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriftLine {
    /// Feature, or the score.
    pub name: String,
    /// (hours since the start, distance).
    pub points: Vec<(f64, f64)>,
}

/// Drift over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// Name of the distance, with its unit.
    pub distance: String,
    /// Features.
    pub lines: Vec<DriftLine>,
    /// Distance from which it counts as drift.
    pub threshold: f64,
}

impl Drift {
    /// Draws it.
    ///
    /// # Errors
    /// When no distance is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = "Drift since training";
        let finite = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let usable = points().filter(finite).count();
        if usable == 0 {
            return Err(ReportError::Empty { picture: title.into(), expected: "one distance" });
        }
        let peak = |line: &DriftLine| line.points.iter().filter(finite).map(|point| point.1).fold(0.0, f64::max);
        let mut order: Vec<&DriftLine> = self.lines.iter().collect();
        order.sort_by(|a, b| peak(b).total_cmp(&peak(a)));
        let over = order.iter().filter(|line| peak(line) > self.threshold).count();
        let (first, last) = extent(points().map(|point| point.0));
        let x = Scale::linear("hours since the start", first, last);
        let y = Scale::around(&*self.distance, points().map(|point| point.1).chain([self.threshold]));
        let named = order.iter().take(NAMED).enumerate().map(|(place, line)| (line.name.clone(), look(place)));
        let legend = Legend::new(named, Sample::Line);
        let plot = Plot::new(x, y, TOP, TOP + AREA);
        let caption = format!(
            "{over} of {} features went over the threshold of {}. The {} most distant ones are coloured, the others grey.{}{}",
            self.lines.len(),
            plain(self.threshold),
            NAMED.min(order.len()),
            if order.len() > DRAWN { format!(" Only the {DRAWN} most distant are drawn.") } else { String::new() },
            left_out(points().count() - usable)
        );
        picture(title, &caption, plot.bottom + BELOW + legend.height(), |canvas| {
            plot.axes(canvas);
            for line in order.iter().take(DRAWN).skip(NAMED) {
                let grey = crate::palette::Look { colour: FAINT, ..look(0) };
                plot.draw_line(canvas, &line.points, grey);
            }
            for (place, line) in order.iter().take(NAMED).enumerate().rev() {
                plot.draw_line(canvas, &line.points, look(place));
            }
            plot.threshold_y(canvas, self.threshold, &format!("threshold {}", plain(self.threshold)), INK);
            legend.draw(canvas, plot.bottom + BELOW);
        })
    }
}
