//! Sorted distances to the k-th neighbour, with the radius that was chosen from them.

use super::left_out;
use crate::canvas::picture;
use crate::error::ReportError;
use crate::palette::{VERMILLION, look};
use crate::picture::Picture;
use crate::plot::{BELOW, Plot};
use crate::scale::{Scale, plain};

const TOP: i32 = 24;
const AREA: i32 = 480;

/// The k-distance curve of DBSCAN (Ester et al. 1996, section 4.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KDistance {
    /// Which neighbour.
    pub k: usize,
    /// Distances of all points, in any order.
    pub distances: Vec<f64>,
    /// Chosen radius.
    pub eps: f64,
}

impl KDistance {
    /// Draws it.
    ///
    /// # Errors
    /// When no distance is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = format!("Distance to the {}. nearest neighbour", self.k);
        let mut sorted: Vec<f64> = self.distances.iter().copied().filter(|distance| distance.is_finite()).collect();
        if sorted.is_empty() {
            return Err(ReportError::Empty { picture: title, expected: "one distance" });
        }
        sorted.sort_unstable_by(f64::total_cmp);
        let core = sorted.partition_point(|distance| *distance <= self.eps);
        let x = Scale::around("rows, by rising distance", [sorted.len() as f64].into_iter());
        // The few farthest rows would flatten the bend that the radius is read from.
        let high = sorted[((sorted.len() - 1) as f64 * 0.97) as usize].max(self.eps * 1.8);
        let y = Scale::around("distance (scaled features)", [high].into_iter());
        let plot = Plot::new(x, y, TOP, TOP + AREA);
        let caption = format!(
            "The radius {} was chosen at the bend: {} of {} rows have {} neighbours within it.{}",
            plain(self.eps),
            core,
            sorted.len(),
            self.k,
            left_out(self.distances.len() - sorted.len())
        );
        picture(&title, &caption, plot.bottom + BELOW, |canvas| {
            plot.axes(canvas);
            let points: Vec<(f64, f64)> = sorted.iter().enumerate().map(|(row, value)| (row as f64, *value)).collect();
            plot.draw_line(canvas, &points, look(0));
            plot.threshold_y(canvas, self.eps, &format!("chosen radius {}", plain(self.eps)), VERMILLION);
        })
    }
}
