//! Validation losses → learning curves by step and by time.

use super::omitted;
use crate::canvas::{WIDTH, picture};
use crate::error::ReportError;
use crate::palette::series_style;
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Swatch};
use crate::scale::Scale;

const TOP: i32 = 24;
const AREA: i32 = 480;

/// One point of a learning curve.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct LearningPoint {
    /// Steps so far, in the unit of [`Learning::step`].
    pub step: f64,
    /// Training time so far, seconds.
    pub seconds: f64,
    pub loss: f64,
}

/// One training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearningCurve {
    /// Name, e.g. of the optimizer.
    pub name: String,
    /// Points in order.
    pub points: Vec<LearningPoint>,
}

/// Learning curves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learning {
    /// Title of the horizontal axis, e.g. "epochs".
    pub step: String,
    /// Title of the loss axis.
    pub loss: String,
    /// Trainings.
    pub curves: Vec<LearningCurve>,
    /// Logarithmic loss axis.
    pub log: bool,
}

impl Learning {
    /// Draws the chart; without times, only by step.
    ///
    /// # Errors
    /// If no loss is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = "Learning curves";
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let losses = || points().map(|point| point.loss).filter(|loss| loss.is_finite());
        if losses().next().is_none() {
            return Err(ReportError::Empty { picture: title.into(), expected: "one loss" });
        }
        let log = self.log && losses().all(|loss| loss > 0.0);
        let y = || if log { Scale::log(&*self.loss, losses()) } else { Scale::close(&*self.loss, losses()) };
        let seconds = points().any(|point| point.seconds > 0.0);
        let steps = Scale::around(&*self.step, points().map(|point| point.step));
        let split = if seconds { WIDTH / 2 } else { WIDTH };
        let mut panels = vec![(Plot::between(steps, y(), (0, split), (TOP, TOP + AREA)), false)];
        if seconds {
            let time = Scale::around("training time (s)", points().map(|point| point.seconds));
            panels.push((Plot::between(time, y(), (split, WIDTH), (TOP, TOP + AREA)), true));
        }
        let names = self.curves.iter().enumerate().map(|(index, curve)| (curve.name.clone(), series_style(index)));
        let legend = Legend::new(names, Swatch::Line);
        let mut caption = String::from("Loss on validation rows, which were not used for training.");
        if seconds {
            caption += " Times depend on the machine and its load.";
        }
        caption += &omitted(points().count() - losses().count());
        picture(title, &caption, TOP + AREA + BELOW + legend.height(), |canvas| {
            for (plot, by_time) in &panels {
                plot.axes(canvas);
                for (index, curve) in self.curves.iter().enumerate() {
                    let x = |point: &LearningPoint| if *by_time { point.seconds } else { point.step };
                    let line: Vec<(f64, f64)> = curve.points.iter().map(|point| (x(point), point.loss)).collect();
                    plot.draw_line(canvas, &line, series_style(index));
                }
            }
            legend.draw(canvas, TOP + AREA + BELOW);
        })
    }
}
