//! Learning curves by step and by time, side by side.

use super::left_out;
use crate::canvas::{WIDTH, picture};
use crate::error::ReportError;
use crate::palette::look;
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Sample};
use crate::scale::Scale;

const TOP: i32 = 24;
const AREA: i32 = 480;

/// One measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LearningPoint {
    /// Steps so far, see [`Learning::step`].
    pub step: f64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Validation loss.
    pub loss: f64,
}

/// One training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearningCurve {
    /// Whose it is.
    pub name: String,
    /// Measurements in order.
    pub points: Vec<LearningPoint>,
}

/// Learning curves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learning {
    /// What is counted along the horizontal axis: optimizer steps, epochs.
    pub step: String,
    /// Name of the loss.
    pub loss: String,
    /// Trainings.
    pub curves: Vec<LearningCurve>,
    /// Logarithmic loss.
    pub log: bool,
}

impl Learning {
    /// Draws it; without times only by step.
    ///
    /// # Errors
    /// When no loss is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = "Learning curves";
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let losses = || points().map(|point| point.loss).filter(|loss| loss.is_finite());
        if losses().next().is_none() {
            return Err(ReportError::Empty { picture: title.into(), expected: "one measurement" });
        }
        let log = self.log && losses().all(|loss| loss > 0.0);
        let y = || if log { Scale::log(&*self.loss, losses()) } else { Scale::close(&*self.loss, losses()) };
        let seconds = points().any(|point| point.seconds > 0.0);
        let steps = Scale::around(&*self.step, points().map(|point| point.step));
        let split = if seconds { WIDTH / 2 } else { WIDTH };
        let mut panels = vec![(Plot::between(steps, y(), (0, split), (TOP, TOP + AREA)), false)];
        if seconds {
            let time = Scale::around("seconds of training", points().map(|point| point.seconds));
            panels.push((Plot::between(time, y(), (split, WIDTH), (TOP, TOP + AREA)), true));
        }
        let names = self.curves.iter().enumerate().map(|(place, curve)| (curve.name.clone(), look(place)));
        let legend = Legend::new(names, Sample::Line);
        let mut caption = String::from("Loss on validation rows, which were not trained on.");
        if seconds {
            caption += " Times depend on the machine and on what else ran there.";
        }
        caption += &left_out(points().count() - losses().count());
        picture(title, &caption, TOP + AREA + BELOW + legend.height(), |canvas| {
            for (plot, by_time) in &panels {
                plot.axes(canvas);
                for (place, curve) in self.curves.iter().enumerate() {
                    let x = |point: &LearningPoint| if *by_time { point.seconds } else { point.step };
                    let line: Vec<(f64, f64)> = curve.points.iter().map(|point| (x(point), point.loss)).collect();
                    plot.draw_line(canvas, &line, look(place));
                }
            }
            legend.draw(canvas, TOP + AREA + BELOW);
        })
    }
}
