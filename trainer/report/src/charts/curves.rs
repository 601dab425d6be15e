//! Curves of one or more methods → ROC or precision-recall chart.

use super::omitted;
use crate::canvas::{Canvas, picture};
use crate::error::ReportError;
use crate::palette::{FAINT, SeriesStyle, series_style};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Swatch};
use crate::scale::Scale;

/// Height of the plotting area, canvas units.
const AREA: i32 = 640;
const TOP: i32 = 24;

/// Points of one method, joined by a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Name, e.g. of the method.
    pub name: String,
    /// Points in order: (false-positive rate, recall) or (recall, precision), each 0 to 1.
    pub points: Vec<(f64, f64)>,
    /// Area under the curve, shown next to the name.
    pub area: Option<f64>,
}

/// Operating point of a threshold on a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operating {
    /// Index of the curve.
    pub curve: usize,
    /// Position on the horizontal axis, 0 to 1.
    pub x: f64,
    /// Position on the vertical axis, 0 to 1.
    pub y: f64,
}

/// Receiver operating characteristic: recall against false-positive rate.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Roc {
    pub curves: Vec<Curve>,
    /// Operating points of the thresholds.
    pub operating: Vec<Operating>,
    /// Lowest false-positive rate of a logarithmic horizontal axis, which shows low rates; `None`: linear.
    pub log_from: Option<f64>,
    pub benign_rows: usize,
    pub attack_rows: usize,
}

/// Precision against recall.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct PrecisionRecall {
    pub curves: Vec<Curve>,
    /// Operating points of the thresholds.
    pub operating: Vec<Operating>,
    /// Share of attacks among the rows, which is the precision of random guessing.
    pub base_rate: f64,
}

impl Roc {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no curve has a finite point.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = "ROC curve: attacks detected by false-positive rate";
        let low = self.log_from.filter(|low| *low > 0.0 && *low < 0.5);
        let label = "false-positive rate (share of benign rows flagged)";
        let x = low.map_or_else(|| Scale::linear(label, 0.0, 1.0), |low| Scale::log_between(label, low, 1.0));
        let y = Scale::linear("recall (share of attack rows flagged)", 0.0, 1.0);
        let mut caption = format!(
            "Measured on {} benign and {} attack rows. The dashed grey line is random guessing.{}",
            self.benign_rows,
            self.attack_rows,
            if low.is_some() { " The horizontal axis is logarithmic." } else { "" }
        );
        caption += &operating_points(&self.curves, &self.operating, "recall", "false-positive rate");
        let baseline = |canvas: &mut Canvas<'_>, plot: &Plot| {
            let (from, _) = plot.x.limits();
            let rate = |share: f64| if from > 0.0 { from.powf(1.0 - share) } else { share };
            let line: Vec<(f64, f64)> =
                (0..=100).map(|step| rate(f64::from(step) / 100.0)).map(|rate| (rate, rate)).collect();
            plot.draw_line(canvas, &line, SeriesStyle { colour: FAINT, dash: (14, 10), ..series_style(0) });
        };
        let (curves, operating) = (&self.curves, &self.operating);
        CurveChart { title, caption, area: "AUC", x, y, curves, operating }.picture(&baseline)
    }
}

impl PrecisionRecall {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no curve has a finite point.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = "Precision-recall curve";
        let x = Scale::linear("recall (share of attack rows flagged)", 0.0, 1.0);
        let y = Scale::linear("precision (share of flagged rows that are attacks)", 0.0, 1.0);
        let mut caption = format!(
            "The dashed grey line is random guessing: {:.1} % of these rows are attacks. Precision depends on this share \
             and is lower where attacks are rarer.",
            self.base_rate * 100.0
        );
        caption += &operating_points(&self.curves, &self.operating, "precision", "recall");
        let rate = self.base_rate;
        let baseline =
            |canvas: &mut Canvas<'_>, plot: &Plot| canvas.dashed(plot.at(0.0, rate), plot.at(1.0, rate), FAINT);
        let (curves, operating) = (&self.curves, &self.operating);
        CurveChart { title, caption, area: "average precision", x, y, curves, operating }.picture(&baseline)
    }
}

/// Caption sentence for the marked operating points: `y` at `x`.
fn operating_points(curves: &[Curve], operating: &[Operating], y: &str, x: &str) -> String {
    if operating.is_empty() {
        return String::new();
    }
    let name = |index: usize| curves.get(index).map_or("", |curve| curve.name.as_str());
    let point = |at: &Operating| format!("{} {:.1} % {y} at {:.2} % {x}", name(at.curve), at.y * 100.0, at.x * 100.0);
    let points: Vec<String> = operating.iter().take(4).map(point).collect();
    format!(" Markers show the threshold set on validation rows: {}.", points.join("; "))
}

/// A chart of curves over two shares.
struct CurveChart<'a> {
    title: &'a str,
    caption: String,
    /// Name of the area under a curve.
    area: &'a str,
    x: Scale,
    y: Scale,
    curves: &'a [Curve],
    operating: &'a [Operating],
}

impl CurveChart<'_> {
    /// Draws the chart; `baseline` draws the curve of random guessing.
    fn picture(self, baseline: &dyn Fn(&mut Canvas<'_>, &Plot)) -> Result<Picture, ReportError> {
        let finite = |(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
        let all: usize = self.curves.iter().map(|curve| curve.points.len()).sum();
        let drawn: usize = self.curves.iter().map(|curve| curve.points.iter().filter(finite).count()).sum();
        if drawn == 0 {
            return Err(ReportError::Empty { picture: self.title.into(), expected: "one point of a curve" });
        }
        let name = |curve: &Curve| match curve.area {
            Some(value) => format!("{} ({} {value:.4})", curve.name, self.area),
            None => curve.name.clone(),
        };
        let names = self.curves.iter().enumerate().map(|(index, curve)| (name(curve), series_style(index)));
        let legend = Legend::new(names, Swatch::Line);
        let plot = Plot::new(self.x, self.y, TOP, TOP + AREA);
        let height = plot.bottom + BELOW + legend.height();
        picture(self.title, &(self.caption + &omitted(all - drawn)), height, |canvas| {
            plot.axes(canvas);
            baseline(canvas, &plot);
            for (index, curve) in self.curves.iter().enumerate() {
                plot.draw_line(canvas, &curve.points, series_style(index));
            }
            for point in self.operating {
                canvas.marker(plot.at(point.x, point.y), series_style(point.curve), 11, 1.0);
            }
            legend.draw(canvas, plot.bottom + BELOW);
        })
    }
}
