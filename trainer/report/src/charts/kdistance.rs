//! Distances to the k-th nearest neighbour → sorted curve with the chosen DBSCAN radius.

use super::omitted;
use crate::canvas::picture;
use crate::error::ReportError;
use crate::palette::{VERMILLION, series_style};
use crate::picture::Picture;
use crate::plot::{BELOW, Plot};
use crate::scale::{Scale, short_number};

const TOP: i32 = 24;
const AREA: i32 = 480;

/// The k-distance curve of DBSCAN (Ester et al. 1996, section 4.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KDistance {
    /// Rank of the neighbour, from 1.
    pub k: usize,
    /// Distances of all rows, in any order.
    pub distances: Vec<f64>,
    /// Chosen radius (ε).
    pub eps: f64,
}

impl KDistance {
    /// Draws the chart.
    ///
    /// # Errors
    /// If no distance is finite.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        let title = format!("Distance to the k-th nearest neighbour (k = {})", self.k);
        let mut sorted: Vec<f64> = self.distances.iter().copied().filter(|distance| distance.is_finite()).collect();
        if sorted.is_empty() {
            return Err(ReportError::Empty { picture: title, expected: "one distance" });
        }
        sorted.sort_unstable_by(f64::total_cmp);
        let core = sorted.partition_point(|distance| *distance <= self.eps);
        let x = Scale::around("rows, sorted by distance", [sorted.len() as f64].into_iter());
        // Excludes the largest distances, which would flatten the bend that determines the radius.
        let high = sorted[((sorted.len() - 1) as f64 * 0.97) as usize].max(self.eps * 1.8);
        let y = Scale::around("distance (scaled features)", [high].into_iter());
        let plot = Plot::new(x, y, TOP, TOP + AREA);
        let caption = format!(
            "The radius {} is at the bend of the curve: {} of {} rows have at least {} neighbours within it.{}",
            short_number(self.eps),
            core,
            sorted.len(),
            self.k,
            omitted(self.distances.len() - sorted.len())
        );
        picture(&title, &caption, plot.bottom + BELOW, |canvas| {
            plot.axes(canvas);
            let points: Vec<(f64, f64)> = sorted.iter().enumerate().map(|(row, value)| (row as f64, *value)).collect();
            plot.draw_line(canvas, &points, series_style(0));
            plot.threshold_y(canvas, self.eps, &format!("chosen radius {}", short_number(self.eps)), VERMILLION);
        })
    }
}
