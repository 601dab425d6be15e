//! Points in the plane by group → one to three scatter plots, e.g. t-SNE maps and clusters.

use super::omitted;
use crate::canvas::{Align, TextStyle, WIDTH, picture};
use crate::error::ReportError;
use crate::palette::{FAINT, series_style};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Swatch, heading};
use crate::scale::Scale;
use crate::thin;
use std::collections::BTreeMap;

/// Maximum number of points per panel.
const POINTS: usize = 2_000;
const TOP: i32 = 64;

/// One projection of the rows, with axes of its own.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Panel {
    pub title: String,
    /// Text below the panel, e.g. "5-NN purity 0.93".
    pub note: String,
    /// (x, y, index of the group).
    pub points: Vec<(f64, f64, usize)>,
}

/// Panels with a common legend.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Scatter {
    pub title: String,
    /// Start of the caption.
    pub note: String,
    /// Names of the groups.
    pub groups: Vec<String>,
    /// One to three panels.
    pub panels: Vec<Panel>,
    /// Axis titles; `None` if the axes have no meaning, as in t-SNE.
    pub axes: Option<(String, String)>,
}

impl Scatter {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no point is finite, or there are more than three panels.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        if self.panels.len() > 3 {
            let (found, picture) = (self.panels.len(), self.title.clone());
            return Err(ReportError::Shape { picture, what: "panels", found, expected: 3 });
        }
        let finite = |point: &&(f64, f64, usize)| point.0.is_finite() && point.1.is_finite();
        let all: usize = self.panels.iter().map(|panel| panel.points.len()).sum();
        let usable: usize = self.panels.iter().map(|panel| panel.points.iter().filter(finite).count()).sum();
        if usable == 0 {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one point" });
        }
        let count = self.panels.len() as i32;
        let area = if count == 1 { 760 } else { WIDTH / count - 40 };
        let bottom = TOP + area;
        let names = self.groups.iter().enumerate().map(|(index, name)| (name.clone(), series_style(index)));
        let legend = Legend::new(names, Swatch::Point);
        let below = if self.axes.is_some() { BELOW + 30 } else { 56 };
        let mut caption = self.note.clone();
        let widest = self.panels.iter().map(|panel| panel.points.len()).max().unwrap_or(0);
        caption += &thin::note(widest.min(POINTS), widest, "points of each panel");
        caption += &omitted(all - usable);
        picture(&self.title, &caption, bottom + below + legend.height(), |canvas| {
            for (index, panel) in self.panels.iter().enumerate() {
                let edges = (WIDTH / count * index as i32, WIDTH / count * (index as i32 + 1));
                self.panel(canvas, panel, edges, bottom);
                let middle = (edges.0 + edges.1) / 2;
                canvas.text(&panel.note, (middle, bottom + below - 26), TextStyle::new(Align::Middle).small());
            }
            legend.draw(canvas, bottom + below);
        })
    }

    fn panel(&self, canvas: &mut crate::canvas::Canvas<'_>, panel: &Panel, edges: (i32, i32), bottom: i32) {
        let points: Vec<_> = panel.points.iter().filter(|point| point.0.is_finite() && point.1.is_finite()).collect();
        let scale = |values: Vec<f64>, name: &str| Scale::close(name, values.into_iter());
        let (x_name, y_name) = self.axes.clone().unwrap_or_default();
        let x = scale(points.iter().map(|point| point.0).collect(), &x_name);
        let y = scale(points.iter().map(|point| point.1).collect(), &y_name);
        let mut plot = Plot::between(x, y, edges, (TOP, bottom));
        if self.axes.is_some() {
            plot.axes(canvas);
        } else {
            (plot.left, plot.right) = (edges.0 + 16, edges.1 - 16);
            canvas.outline([(plot.left, TOP), (plot.right, bottom)], FAINT);
        }
        heading(canvas, &panel.title, (plot.left, TOP - 28));
        let size = if points.len() > 600 { 5 } else { 8 };
        for (x, y, group) in subsampled(&points) {
            canvas.marker(plot.at(x, y), series_style(group), size, 0.7);
        }
    }
}

/// At most [`POINTS`] points, stratified by group: a fixed stride over all rows could miss a periodic group.
fn subsampled(points: &[&(f64, f64, usize)]) -> Vec<(f64, f64, usize)> {
    let mut by_group: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, point) in points.iter().enumerate() {
        by_group.entry(point.2).or_default().push(index);
    }
    let mut chosen: Vec<usize> = Vec::new();
    for indices in by_group.values() {
        let share = if points.len() <= POINTS { indices.len() } else { (indices.len() * POINTS / points.len()).max(1) };
        chosen.extend(thin::subsample(indices.len(), share).into_iter().map(|index| indices[index]));
    }
    // In row order, so that no group covers the others.
    chosen.sort_unstable();
    chosen.truncate(POINTS);
    chosen.into_iter().map(|index| *points[index]).collect()
}
