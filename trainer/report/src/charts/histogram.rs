//! Scores by group of rows → overlaid histograms with the threshold.

use super::omitted;
use crate::canvas::picture;
use crate::error::ReportError;
use crate::palette::{INK, series_style};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Swatch};
use crate::scale::{Scale, extent, short_number};

const BINS: usize = 60;
const TOP: i32 = 24;
const AREA: i32 = 520;

/// Scores of one group of rows.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Group {
    /// Name, e.g. "benign".
    pub name: String,
    pub scores: Vec<f64>,
}

/// Score histogram.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Histogram {
    pub title: String,
    /// Axis title of the score with its unit.
    pub score: String,
    /// Groups; the bins of each add up to 100 %.
    pub groups: Vec<Group>,
    /// Score above which a row is flagged.
    pub threshold: Option<f64>,
    /// Logarithmic axis; scores of 0 or less are in the first bin.
    pub log: bool,
}

impl Histogram {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no score is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let all = || self.groups.iter().flat_map(|group| group.scores.iter().copied());
        let finite = all().filter(|score| score.is_finite()).count();
        if finite == 0 {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one score" });
        }
        let x = self.axis();
        let shares: Vec<Vec<f64>> = self.groups.iter().map(|group| bins(&group.scores, &x)).collect();
        let highest = shares.iter().flatten().copied();
        let y = Scale::around("share of the group's rows per bin", highest).percent();
        let named = |(index, group): (usize, &Group)| {
            (format!("{} ({} rows)", group.name, group.scores.len()), series_style(index))
        };
        let legend = Legend::new(self.groups.iter().enumerate().map(named), Swatch::Patch);
        let plot = Plot::new(x, y, TOP, TOP + AREA);
        let caption = self.caption(all().count() - finite);
        picture(&self.title, &caption, plot.bottom + BELOW + legend.height(), |canvas| {
            plot.axes(canvas);
            for (index, shares) in shares.iter().enumerate() {
                let outline = outline(&plot, shares);
                canvas.polygon(&outline, series_style(index).colour, 0.18);
                canvas.series(&outline[1..outline.len() - 1], series_style(index), 4);
            }
            if let Some(threshold) = self.threshold {
                plot.threshold_x(canvas, threshold, &format!("threshold {}", short_number(threshold)), INK);
            }
            legend.draw(canvas, plot.bottom + BELOW);
        })
    }

    /// Excludes the most extreme scores, so that a single outlier does not compress the rest into one bin.
    fn axis(&self) -> Scale {
        let mut sorted: Vec<f64> = self
            .groups
            .iter()
            .flat_map(|group| group.scores.iter().copied())
            .filter(|score| score.is_finite())
            .collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        if self.log {
            let positive = sorted.iter().copied().filter(|score| *score > 0.0);
            let (low, high) = extent(positive.chain(self.threshold.filter(|value| *value > 0.0)));
            let low = low.max(at(0.002).max(high * 1e-9)).min(self.threshold.filter(|v| *v > 0.0).unwrap_or(high));
            return Scale::log(self.score.clone(), [low, high].into_iter());
        }
        let ends = [at(0.001), at(0.999)].into_iter().chain(self.threshold);
        Scale::close(self.score.clone(), ends)
    }

    fn caption(&self, not_finite: usize) -> String {
        let mut caption =
            String::from("The bins of each group add up to 100 %, so that groups of different sizes are comparable.");
        if self.threshold.is_some() {
            caption += " Rows to the right of the dashed threshold are flagged; it was set on benign validation rows.";
        }
        if self.log {
            caption += " The horizontal axis is logarithmic.";
        }
        caption += " The outermost bins include all scores beyond the axis.";
        caption + &omitted(not_finite)
    }
}

fn bins(scores: &[f64], axis: &Scale) -> Vec<f64> {
    let mut counts = vec![0_usize; BINS];
    let mut total = 0_usize;
    for score in scores.iter().filter(|score| score.is_finite()) {
        let index = (axis.position(*score).clamp(0.0, 1.0) * BINS as f64) as usize;
        counts[index.min(BINS - 1)] += 1;
        total += 1;
    }
    counts.iter().map(|count| *count as f64 / total.max(1) as f64).collect()
}

fn outline(plot: &Plot, shares: &[f64]) -> Vec<(i32, i32)> {
    let edge = |bin: usize| plot.left + ((plot.right - plot.left) as usize * bin / shares.len()) as i32;
    let (low, _) = plot.y.limits();
    let mut points = vec![(plot.left, plot.at(low, 0.0).1)];
    for (bin, share) in shares.iter().enumerate() {
        let (_, y) = plot.at(0.0, *share);
        points.push((edge(bin), y));
        points.push((edge(bin + 1), y));
    }
    points.push((plot.right, plot.at(low, 0.0).1));
    points
}
