//! Does the number of false alerts follow the operator's knob?

use crate::canvas::picture;
use crate::error::ReportError;
use crate::palette::{BLUE, FAINT, INK, look};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Sample};
use crate::scale::Scale;

const TOP: i32 = 24;
const AREA: i32 = 640;
const FACTOR: f64 = 2.0;

/// One setting of the knob.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EvidencePoint {
    /// Asked: false alerts a day.
    pub knob: f64,
    /// Seen: alerts a day on benign data.
    pub alerts_per_day: f64,
    /// Confidence interval of what was seen.
    pub interval: Option<(f64, f64)>,
}

/// Validation of the evidence step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Settings.
    pub points: Vec<EvidencePoint>,
    /// Days of benign data.
    pub days: f64,
    /// What the data is.
    pub data: String,
}

impl Evidence {
    /// Draws it.
    ///
    /// # Errors
    /// When there is no positive finite point.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = "False alerts a day: asked and seen";
        let usable: Vec<&EvidencePoint> = self.points.iter().filter(|point| point.knob > 0.0).collect();
        let knobs = || usable.iter().map(|point| point.knob);
        if usable.is_empty() {
            return Err(ReportError::Empty { picture: title.into(), expected: "one setting" });
        }
        let seen = usable.iter().flat_map(|point| {
            let (low, high) = point.interval.unwrap_or((point.alerts_per_day, point.alerts_per_day));
            [point.alerts_per_day, low, high]
        });
        let floor = knobs().fold(f64::INFINITY, f64::min) / 4.0;
        let x = Scale::log(
            "knob: false alerts a day that the operator accepts",
            knobs().flat_map(|knob| [knob / 1.5, knob * 1.5]),
        );
        let y = Scale::log(
            "alerts a day on benign data",
            seen.filter(|v| *v > floor).chain(knobs().flat_map(|k| [k / 2.0, k * 2.0])),
        );
        let within = usable.iter().filter(|p| (p.knob / FACTOR..=p.knob * FACTOR).contains(&p.alerts_per_day)).count();
        let legend = Legend::new([("seen, with interval".to_string(), look(1))].into_iter(), Sample::Point);
        let plot = Plot::new(x, y, TOP, TOP + AREA);
        let caption = format!(
            "{}: {:.1} days. The line is what was asked, the band a factor of two around it; {within} of {} settings lie \
             within. Settings without any alert stand at the lower edge. Both axes are logarithmic.",
            self.data,
            self.days,
            usable.len()
        );
        picture(title, &caption, plot.bottom + BELOW + legend.height(), |canvas| {
            plot.axes(canvas);
            let (low, high) = plot.x.ends();
            let band = [(low, low / FACTOR), (high, high / FACTOR), (high, high * FACTOR), (low, low * FACTOR)];
            canvas.polygon(&band.map(|(x, y)| plot.at(x, y)), BLUE, 0.15);
            canvas.line(&[plot.at(low, low), plot.at(high, high)], FAINT, 3);
            for point in &usable {
                if let Some((from, to)) = point.interval {
                    canvas.line(&[plot.at(point.knob, from), plot.at(point.knob, to)], INK, 3);
                }
                canvas.marker(plot.at(point.knob, point.alerts_per_day), look(1), 11, 1.0);
            }
            legend.draw(canvas, plot.bottom + BELOW);
        })
    }
}
