//! ROC and precision-recall curves, several in one picture.

use super::left_out;
use crate::canvas::{Canvas, picture};
use crate::error::ReportError;
use crate::palette::{FAINT, Look, look};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Sample};
use crate::scale::Scale;

/// Height of the plotting area, canvas units.
const AREA: i32 = 640;
const TOP: i32 = 24;

/// One curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Whose it is.
    pub name: String,
    /// Points in order: (false-positive rate, recall) or (recall, precision), each 0 to 1.
    pub points: Vec<(f64, f64)>,
    /// Area under it; written beside the name.
    pub area: Option<f64>,
}

/// The point at which a threshold works, by curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operating {
    /// Place of the curve.
    pub curve: usize,
    /// Along the horizontal axis, 0 to 1.
    pub x: f64,
    /// Along the vertical axis, 0 to 1.
    pub y: f64,
}

/// Receiver operating characteristic: recall against false-positive rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roc {
    /// Curves.
    pub curves: Vec<Curve>,
    /// Where the thresholds stand.
    pub operating: Vec<Operating>,
    /// A logarithmic horizontal axis from here, which shows what few false alerts cost; a linear one without it.
    pub log_from: Option<f64>,
    /// Benign rows and attack rows that it was measured on.
    pub rows: (usize, usize),
}

/// Precision against recall.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrecisionRecall {
    /// Curves.
    pub curves: Vec<Curve>,
    /// Where the thresholds stand.
    pub operating: Vec<Operating>,
    /// Share of attacks among the rows: the precision of guessing.
    pub base_rate: f64,
}

impl Roc {
    /// Draws it.
    ///
    /// # Errors
    /// When no curve has a finite point.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = "ROC: attacks found against false alarms";
        let low = self.log_from.filter(|low| *low > 0.0 && *low < 0.5);
        let name = "false-positive rate (share of benign rows flagged)";
        let x = low.map_or_else(|| Scale::linear(name, 0.0, 1.0), |low| Scale::log_between(name, low, 1.0));
        let y = Scale::linear("recall (share of attack rows flagged)", 0.0, 1.0);
        let mut caption = format!(
            "Measured on {} benign and {} attack rows. The dashed grey line is guessing{}.",
            self.rows.0,
            self.rows.1,
            if low.is_some() { "; the horizontal axis is logarithmic" } else { "" }
        );
        caption += &marked(&self.curves, &self.operating, ("found", "false alarms"));
        let guess = |canvas: &mut Canvas<'_>, plot: &Plot| {
            let (from, _) = plot.x.ends();
            let step = |step: i32| f64::from(step) / 100.0;
            let along = |share: f64| if from > 0.0 { from.powf(1.0 - share) } else { share };
            let line: Vec<(f64, f64)> = (0..=100).map(|at| (along(step(at)), along(step(at)))).collect();
            plot.draw_line(canvas, &line, Look { colour: FAINT, dash: (14, 10), ..look(0) });
        };
        draw(title, caption, "AUC", (x, y), &self.curves, &self.operating, &guess)
    }
}

impl PrecisionRecall {
    /// Draws it.
    ///
    /// # Errors
    /// When no curve has a finite point.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = "Precision against recall";
        let x = Scale::linear("recall (share of attack rows flagged)", 0.0, 1.0);
        let y = Scale::linear("precision (share of flagged rows that are attacks)", 0.0, 1.0);
        let mut caption = format!(
            "The dashed grey line is guessing: {:.1} % of these rows are attacks. Precision holds for this share only; \
             where attacks are rarer it is lower.",
            self.base_rate * 100.0
        );
        caption += &marked(&self.curves, &self.operating, ("precision", "recall"));
        let rate = self.base_rate;
        let guess = |canvas: &mut Canvas<'_>, plot: &Plot| canvas.dashed(plot.at(0.0, rate), plot.at(1.0, rate), FAINT);
        draw(title, caption, "average precision", (x, y), &self.curves, &self.operating, &guess)
    }
}

fn marked(curves: &[Curve], operating: &[Operating], (y, x): (&str, &str)) -> String {
    if operating.is_empty() {
        return String::new();
    }
    let name = |place: usize| curves.get(place).map_or("", |curve| curve.name.as_str());
    let told = |at: &Operating| format!("{} {:.1} % {y} at {:.2} % {x}", name(at.curve), at.y * 100.0, at.x * 100.0);
    let told: Vec<String> = operating.iter().take(4).map(told).collect();
    format!(" Marks show the threshold, which was set on validation rows: {}.", told.join("; "))
}

fn draw(
    title: &str,
    caption: String,
    area: &str,
    (x, y): (Scale, Scale),
    curves: &[Curve],
    operating: &[Operating],
    guess: &dyn Fn(&mut Canvas<'_>, &Plot),
) -> Result<Picture, ReportError> {
    let finite = |(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
    let all: usize = curves.iter().map(|curve| curve.points.len()).sum();
    let drawn: usize = curves.iter().map(|curve| curve.points.iter().filter(finite).count()).sum();
    if drawn == 0 {
        return Err(ReportError::Empty { picture: title.into(), expected: "one point of a curve" });
    }
    let name = |curve: &Curve| match curve.area {
        Some(value) => format!("{} ({area} {value:.4})", curve.name),
        None => curve.name.clone(),
    };
    let names = curves.iter().enumerate().map(|(place, curve)| (name(curve), look(place)));
    let legend = Legend::new(names, Sample::Line);
    let plot = Plot::new(x, y, TOP, TOP + AREA);
    let height = plot.bottom + BELOW + legend.height();
    picture(title, &(caption + &left_out(all - drawn)), height, |canvas| {
        plot.axes(canvas);
        guess(canvas, &plot);
        for (place, curve) in curves.iter().enumerate() {
            plot.draw_line(canvas, &curve.points, look(place));
        }
        for point in operating {
            let at = plot.at(point.x, point.y);
            canvas.marker(at, look(point.curve), 11, 1.0);
        }
        legend.draw(canvas, plot.bottom + BELOW);
    })
}
