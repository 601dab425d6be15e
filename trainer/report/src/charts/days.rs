//! Daily counts by series → stacked bars.

use crate::canvas::{Align, Canvas, TextStyle, picture};
use crate::error::ReportError;
use crate::palette::{FAINT, SeriesStyle, series_style};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Swatch};
use crate::scale::{Scale, grouped};

/// Maximum number of series with their own colour, the largest ones; the rest are combined.
const NAMED: usize = 7;
/// Maximum number of days, the last ones.
const DAYS: usize = 92;
const TOP: i32 = 40;
const AREA: i32 = 260;

/// Daily counts of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaySeries {
    /// Name, e.g. of the agent.
    pub name: String,
    /// Counts, in the order of the days.
    pub counts: Vec<u64>,
}

/// Counts per day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Days {
    pub title: String,
    /// What is counted, e.g. "alerts".
    pub counted: String,
    /// End of the caption.
    pub note: String,
    /// Labels of the days.
    pub days: Vec<String>,
    /// Series, stacked in each bar.
    pub series: Vec<DaySeries>,
}

impl Days {
    /// Draws the chart.
    ///
    /// # Errors
    /// If there are no days.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        if self.days.is_empty() {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one day" });
        }
        let skipped = self.days.len().saturating_sub(DAYS);
        let days = &self.days[skipped..];
        let stacks = self.stacks(skipped);
        let totals: Vec<u64> =
            (0..days.len()).map(|day| stacks.iter().map(|(_, counts, _)| counts[day]).sum()).collect();
        let x = Scale::bare();
        let y = Scale::counts(self.counted.clone(), totals.iter().copied().max().unwrap_or(0));
        let plot = Plot::new(x, y, TOP, TOP + AREA);
        let legend = Legend::new(stacks.iter().map(|(name, _, style)| (name.clone(), *style)), Swatch::Patch);
        let caption = self.caption(days, &totals, skipped);
        picture(&self.title, &caption, plot.bottom + BELOW - 30 + legend.height(), |canvas| {
            plot.axes(canvas);
            let wide = f64::from(plot.right - plot.left) / days.len() as f64;
            let every = days.len().div_ceil(10);
            for (day, name) in days.iter().enumerate() {
                let edge = |share: f64| plot.left + (wide * (day as f64 + share)).round() as i32;
                stack(
                    canvas,
                    &plot,
                    (edge(0.14), edge(0.86)),
                    stacks.iter().map(|(_, counts, style)| (counts[day], *style)),
                );
                if (days.len() - 1 - day).is_multiple_of(every) {
                    canvas.text(name, (edge(0.5), plot.bottom + 26), TextStyle::new(Align::Middle).small());
                }
            }
            legend.draw(canvas, plot.bottom + BELOW - 40);
        })
    }

    /// The largest series, and the sum of the rest, with one count per drawn day. Series of zeros are omitted.
    fn stacks(&self, skipped: usize) -> Vec<(String, Vec<u64>, SeriesStyle)> {
        let days = self.days.len() - skipped;
        let counts = |series: &DaySeries| -> Vec<u64> {
            series.counts.iter().skip(skipped).copied().chain(std::iter::repeat(0)).take(days).collect()
        };
        let total = |counts: &[u64]| counts.iter().sum::<u64>();
        let mut all: Vec<(String, Vec<u64>)> =
            self.series.iter().map(|series| (series.name.clone(), counts(series))).collect();
        all.retain(|(_, counts)| total(counts) > 0);
        all.sort_by(|a, b| total(&b.1).cmp(&total(&a.1)).then_with(|| a.0.cmp(&b.0)));
        let others = all.split_off(all.len().min(NAMED));
        let mut stacks: Vec<(String, Vec<u64>, SeriesStyle)> =
            all.into_iter().enumerate().map(|(index, (name, counts))| (name, counts, series_style(index))).collect();
        if !others.is_empty() {
            let sum = (0..days).map(|day| others.iter().map(|(_, counts)| counts[day]).sum()).collect();
            stacks.push((format!("{} others", others.len()), sum, SeriesStyle { colour: FAINT, ..series_style(0) }));
        }
        stacks
    }

    fn caption(&self, days: &[String], totals: &[u64], skipped: usize) -> String {
        let (first, last) = (days.first().map_or("", String::as_str), days.last().map_or("", String::as_str));
        let mut caption = format!(
            "{} {} from {first} to {last}. Series are stacked from the bottom in the order of the legend. {}",
            grouped(&totals.iter().sum::<u64>().to_string()),
            self.counted,
            self.note
        );
        if skipped > 0 {
            caption += &format!(" {skipped} earlier days are omitted.");
        }
        caption
    }
}

/// Draws the stacked counts of one day with their sum above.
fn stack(
    canvas: &mut Canvas<'_>,
    plot: &Plot,
    (left, right): (i32, i32),
    counts: impl Iterator<Item = (u64, SeriesStyle)>,
) {
    let height = |count: u64| plot.at(0.0, count as f64).1;
    let mut below = 0;
    for (count, style) in counts {
        let (from, to) = (height(below), height(below + count));
        below += count;
        if from > to {
            canvas.fill([(left, to), (right, from)], style.colour, 0.9);
        }
    }
    if below > 0 {
        let at = ((left + right) / 2, height(below) - 16);
        canvas.text(&grouped(&below.to_string()), at, TextStyle::new(Align::Middle).small());
    }
}
