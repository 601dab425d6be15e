//! Distance of each feature's current distribution from training, by time → line chart.

use super::omitted;
use crate::canvas::picture;
use crate::error::ReportError;
use crate::palette::{FAINT, INK, series_style};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Swatch};
use crate::scale::{Scale, extent, short_number};

/// Maximum number of coloured features, those with the largest distance.
const NAMED: usize = 7;
/// Maximum number of features.
const DRAWN: usize = 60;
const TOP: i32 = 24;
const AREA: i32 = 520;

/// One feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriftLine {
    /// Feature, or the score.
    pub name: String,
    /// (Hours since the start, distance).
    pub points: Vec<(f64, f64)>,
}

/// Drift over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// Axis title of the distance with its unit.
    pub distance: String,
    /// Features.
    pub lines: Vec<DriftLine>,
    /// Distance above which a feature has drifted.
    pub threshold: f64,
}

impl Drift {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no distance is finite.
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
        let named = order.iter().take(NAMED).enumerate().map(|(index, line)| (line.name.clone(), series_style(index)));
        let legend = Legend::new(named, Swatch::Line);
        let plot = Plot::new(x, y, TOP, TOP + AREA);
        let caption = self.caption(over) + &omitted(points().count() - usable);
        picture(title, &caption, plot.bottom + BELOW + legend.height(), |canvas| {
            plot.axes(canvas);
            for line in order.iter().take(DRAWN).skip(NAMED) {
                let grey = crate::palette::SeriesStyle { colour: FAINT, ..series_style(0) };
                plot.draw_line(canvas, &line.points, grey);
            }
            for (index, line) in order.iter().take(NAMED).enumerate().rev() {
                plot.draw_line(canvas, &line.points, series_style(index));
            }
            plot.threshold_y(canvas, self.threshold, &format!("threshold {}", short_number(self.threshold)), INK);
            legend.draw(canvas, plot.bottom + BELOW);
        })
    }

    fn caption(&self, over: usize) -> String {
        let count = self.lines.len();
        let mut caption = format!(
            "{over} of {count} features exceeded the threshold of {}. The {} with the largest distance are coloured, the \
             others grey.",
            short_number(self.threshold),
            NAMED.min(count)
        );
        if count > DRAWN {
            caption += &format!(" Only the {DRAWN} with the largest distance are drawn.");
        }
        caption
    }
}
