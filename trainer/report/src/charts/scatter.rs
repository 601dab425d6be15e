//! Points in the plane by group, in panels side by side: t-SNE maps and clusters.

use super::left_out;
use crate::canvas::{Side, WIDTH, Words, picture};
use crate::error::ReportError;
use crate::palette::{FAINT, look};
use crate::picture::Picture;
use crate::plot::{BELOW, Legend, Plot, Sample, heading};
use crate::scale::Scale;
use crate::thin;
use std::collections::BTreeMap;

/// Most points of one panel.
const POINTS: usize = 2_000;
const TOP: i32 = 64;

/// One panel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// What is seen.
    pub title: String,
    /// A number to judge it by, like "5-NN purity 0.93"; drawn below the panel.
    pub note: String,
    /// (x, y, place of the group).
    pub points: Vec<(f64, f64, usize)>,
}

/// Panels with one legend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scatter {
    /// Heading.
    pub title: String,
    /// What a reader must know.
    pub note: String,
    /// Names of the groups.
    pub groups: Vec<String>,
    /// One to three panels.
    pub panels: Vec<Panel>,
    /// Names of the axes; none where they mean nothing, as in t-SNE.
    pub axes: Option<(String, String)>,
}

impl Scatter {
    /// Draws it.
    ///
    /// # Errors
    /// When there is no finite point, or more than three panels.
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
        let names = self.groups.iter().enumerate().map(|(place, name)| (name.clone(), look(place)));
        let legend = Legend::new(names, Sample::Point);
        let below = if self.axes.is_some() { BELOW + 30 } else { 56 };
        let mut caption = self.note.clone();
        let widest = self.panels.iter().map(|panel| panel.points.len()).max().unwrap_or(0);
        caption += &thin::told(widest.min(POINTS), widest, "points of each panel");
        caption += &left_out(all - usable);
        picture(&self.title, &caption, bottom + below + legend.height(), |canvas| {
            for (place, panel) in self.panels.iter().enumerate() {
                let edges = (WIDTH / count * place as i32, WIDTH / count * (place as i32 + 1));
                self.panel(canvas, panel, edges, bottom);
                let middle = (edges.0 + edges.1) / 2;
                canvas.words(&panel.note, (middle, bottom + below - 26), Words::new(Side::Middle).small());
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
        for (x, y, group) in thinned(&points) {
            canvas.marker(plot.at(x, y), look(group), size, 0.7);
        }
    }
}

/// At most [`POINTS`] of them, of each group its share: a stride over all rows could miss a group that recurs in step.
fn thinned(points: &[&(f64, f64, usize)]) -> Vec<(f64, f64, usize)> {
    let mut by_group: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, point) in points.iter().enumerate() {
        by_group.entry(point.2).or_default().push(place);
    }
    let mut kept: Vec<usize> = Vec::new();
    for places in by_group.values() {
        let share = if points.len() <= POINTS { places.len() } else { (places.len() * POINTS / points.len()).max(1) };
        kept.extend(thin::spread(places.len(), share).into_iter().map(|place| places[place]));
    }
    // In the rows' own order, so that no group lies on top of all others.
    kept.sort_unstable();
    kept.truncate(POINTS);
    kept.into_iter().map(|place| *points[place]).collect()
}
