//! Counts a day, stacked by who they are of.

use crate::canvas::{Canvas, Side, Words, picture};
use crate::error::ReportError;
use crate::palette::{FAINT, Look, look};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Sample};
use crate::scale::{Scale, grouped};

/// Series drawn in a colour of their own: the largest ones; the others are drawn as one.
const NAMED: usize = 7;
/// Days drawn, the last ones.
const DAYS: usize = 92;
const TOP: i32 = 40;
const AREA: i32 = 260;

/// Counts of one series, one for each day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaySeries {
    /// Name.
    pub name: String,
    /// Counts, in the order of the days.
    pub counts: Vec<u64>,
}

/// Counts a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// Heading.
    pub title: String,
    /// What is counted.
    pub counted: String,
    /// What a reader must know.
    pub note: String,
    /// Days, as they are written under the axis.
    pub days: Vec<String>,
    /// Who the counts are of.
    pub series: Vec<DaySeries>,
}

impl Days {
    /// Draws it.
    ///
    /// # Errors
    /// Without a day.
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
        let legend = Legend::new(stacks.iter().map(|(name, _, look)| (name.clone(), *look)), Sample::Patch);
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
                    stacks.iter().map(|(_, counts, look)| (counts[day], *look)),
                );
                if (days.len() - 1 - day).is_multiple_of(every) {
                    canvas.words(name, (edge(0.5), plot.bottom + 26), Words::new(Side::Middle).small());
                }
            }
            legend.draw(canvas, plot.bottom + BELOW - 40);
        })
    }

    /// The largest series and all others together, with one count a drawn day each; none that is all zero.
    fn stacks(&self, skipped: usize) -> Vec<(String, Vec<u64>, Look)> {
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
        let mut stacks: Vec<(String, Vec<u64>, Look)> =
            all.into_iter().enumerate().map(|(place, (name, counts))| (name, counts, look(place))).collect();
        if !others.is_empty() {
            let sum = (0..days).map(|day| others.iter().map(|(_, counts)| counts[day]).sum()).collect();
            stacks.push((format!("{} others", others.len()), sum, Look { colour: FAINT, ..look(0) }));
        }
        stacks
    }

    fn caption(&self, days: &[String], totals: &[u64], skipped: usize) -> String {
        let (first, last) = (days.first().map_or("", String::as_str), days.last().map_or("", String::as_str));
        let mut caption = format!(
            "{} {} from {first} to {last}; from the bottom up in the order of the names. {}",
            grouped(&totals.iter().sum::<u64>().to_string()),
            self.counted,
            self.note
        );
        if skipped > 0 {
            caption += &format!(" {skipped} earlier days are left out.");
        }
        caption
    }
}

/// One day's counts on top of each other, their sum above them.
fn stack(canvas: &mut Canvas<'_>, plot: &Plot, (left, right): (i32, i32), counts: impl Iterator<Item = (u64, Look)>) {
    let height = |count: u64| plot.at(0.0, count as f64).1;
    let mut below = 0;
    for (count, look) in counts {
        let (from, to) = (height(below), height(below + count));
        below += count;
        if from > to {
            canvas.fill([(left, to), (right, from)], look.colour, 0.9);
        }
    }
    if below > 0 {
        let at = ((left + right) / 2, height(below) - 16);
        canvas.words(&grouped(&below.to_string()), at, Words::new(Side::Middle).small());
    }
}
