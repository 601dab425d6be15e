//! Alerts on benign data at several false-alert budgets → chart of measured by budgeted alerts per day.

use crate::canvas::{Canvas, picture};
use crate::error::ReportError;
use crate::palette::{BLUE, FAINT, INK, series_style};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Swatch};
use crate::scale::Scale;

const TOP: i32 = 24;
const AREA: i32 = 640;
/// Half width of the tolerance band, as a factor.
const FACTOR: f64 = 2.0;

/// Result at one false-alert budget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EvidencePoint {
    /// False-alert budget, alerts per day.
    pub budget: f64,
    /// Measured alerts per day on benign data.
    pub alerts_per_day: f64,
    /// Confidence interval of the measured rate.
    pub interval: Option<(f64, f64)>,
}

/// Validation of the evidence thresholds.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Evidence {
    /// Results by budget.
    pub points: Vec<EvidencePoint>,
    /// Duration of the benign data, days.
    pub days: f64,
    pub data: String,
}

impl Evidence {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no budget is positive.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = "False alerts per day: budgeted and measured";
        let points: Vec<&EvidencePoint> = self.points.iter().filter(|point| point.budget > 0.0).collect();
        if points.is_empty() {
            return Err(ReportError::Empty { picture: title.into(), expected: "one budget" });
        }
        let budgets = || points.iter().map(|point| point.budget);
        let measured = points.iter().flat_map(|point| {
            let (low, high) = point.interval.unwrap_or((point.alerts_per_day, point.alerts_per_day));
            [point.alerts_per_day, low, high]
        });
        let lowest = budgets().fold(f64::INFINITY, f64::min) / 4.0;
        let x = Scale::log(
            "false-alert budget (alerts per day)",
            budgets().flat_map(|budget| [budget / 1.5, budget * 1.5]),
        );
        let y = Scale::log(
            "measured alerts per day on benign data",
            measured.filter(|rate| *rate > lowest).chain(budgets().flat_map(|budget| [budget / 2.0, budget * 2.0])),
        );
        let legend = Legend::new([("measured, with interval".to_string(), series_style(1))].into_iter(), Swatch::Point);
        let plot = Plot::new(x, y, TOP, TOP + AREA);
        picture(title, &self.caption(&points), plot.bottom + BELOW + legend.height(), |canvas| {
            plot.axes(canvas);
            draw_tolerance(canvas, &plot);
            for point in &points {
                if let Some((from, to)) = point.interval {
                    canvas.line(&[plot.at(point.budget, from), plot.at(point.budget, to)], INK, 3);
                }
                canvas.marker(plot.at(point.budget, point.alerts_per_day), series_style(1), 11, 1.0);
            }
            legend.draw(canvas, plot.bottom + BELOW);
        })
    }

    fn caption(&self, points: &[&EvidencePoint]) -> String {
        let is_within =
            |point: &&&EvidencePoint| (point.budget / FACTOR..=point.budget * FACTOR).contains(&point.alerts_per_day);
        format!(
            "{}: {:.1} days. The line is the budget, the band a factor of two around it; {} of {} points are within \
             the band. Points without alerts are at the lower edge. Both axes are logarithmic.",
            self.data,
            self.days,
            points.iter().filter(is_within).count(),
            points.len()
        )
    }
}

fn draw_tolerance(canvas: &mut Canvas<'_>, plot: &Plot) {
    let (low, high) = plot.x.limits();
    let band = [(low, low / FACTOR), (high, high / FACTOR), (high, high * FACTOR), (low, low * FACTOR)];
    canvas.polygon(&band.map(|(x, y)| plot.at(x, y)), BLUE, 0.15);
    canvas.line(&[plot.at(low, low), plot.at(high, high)], FAINT, 3);
}
