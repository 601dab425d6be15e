//! Axes, series names → plotting area with grid, ticks, thresholds and legend.

use crate::canvas::{Align, Canvas, FONT, SMALL, TextStyle, WIDTH, short, width};
use crate::palette::{FAINT, GRID, INK, SeriesStyle};
use crate::scale::Scale;
use crate::thin;

/// Maximum number of points per line.
const LINE_POINTS: usize = 1_500;
const LEGEND_ROW: i32 = 42;
const SWATCH: i32 = 64;

/// A rectangle of the canvas with two axes.
pub(crate) struct Plot {
    pub(crate) left: i32,
    pub(crate) top: i32,
    pub(crate) right: i32,
    pub(crate) bottom: i32,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

impl Plot {
    /// Over the full width, from `top` to `bottom`. The labels of the horizontal axis are below `bottom`.
    pub(crate) fn new(x: Scale, y: Scale, top: i32, bottom: i32) -> Self {
        Self::between(x, y, (0, WIDTH), (top, bottom))
    }

    /// Between two canvas edges; the labels of the vertical axis are inside them.
    pub(crate) fn between(x: Scale, y: Scale, (left, right): (i32, i32), (top, bottom): (i32, i32)) -> Self {
        let widest = y.ticks.iter().map(|(_, text)| width(text, SMALL)).max().unwrap_or(0);
        Self { left: left + widest + 66, top, right: right - 34, bottom, x, y }
    }

    /// Canvas position of a value.
    pub(crate) fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let across = f64::from(self.right - self.left) * self.x.position(x);
        let up = f64::from(self.bottom - self.top) * self.y.position(y);
        (self.left + across.round() as i32, self.bottom - up.round() as i32)
    }

    /// Draws grid, frame, tick labels and axis titles.
    pub(crate) fn axes(&self, canvas: &mut Canvas<'_>) {
        let mut free_from = i32::MIN;
        for (value, text) in &self.x.ticks {
            let (x, _) = self.at(*value, 0.0);
            canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 2);
            let half = width(text, SMALL) / 2;
            if x - half > free_from {
                canvas.text(text, (x, self.bottom + 26), TextStyle::new(Align::Middle).small());
                free_from = x + half + 8;
            }
        }
        for (value, text) in &self.y.ticks {
            let y = self.bottom - (f64::from(self.bottom - self.top) * self.y.position(*value)).round() as i32;
            canvas.line(&[(self.left, y), (self.right, y)], GRID, 2);
            canvas.text(text, (self.left - 12, y), TextStyle::new(Align::Right).small());
        }
        canvas.outline([(self.left, self.top), (self.right, self.bottom)], FAINT);
        self.axis_titles(canvas);
    }

    fn axis_titles(&self, canvas: &mut Canvas<'_>) {
        let middle = (self.left + self.right) / 2;
        canvas.text(&self.x.label, (middle, self.bottom + 64), TextStyle::new(Align::Middle));
        let widest = self.y.ticks.iter().map(|(_, text)| width(text, SMALL)).max().unwrap_or(0);
        let at = (self.left - widest - 40, (self.top + self.bottom) / 2);
        canvas.text(&self.y.label, at, TextStyle::new(Align::Middle).vertical());
    }

    /// Draws a line through the finite points.
    pub(crate) fn draw_line(&self, canvas: &mut Canvas<'_>, points: &[(f64, f64)], style: SeriesStyle) {
        let finite = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let placed: Vec<(i32, i32)> = finite.map(|(x, y)| self.at(*x, *y)).collect();
        canvas.series(&thin::line(&placed, LINE_POINTS), style, 4);
    }

    /// Draws a vertical threshold with its name at the top, on the side with more space.
    pub(crate) fn threshold_x(
        &self,
        canvas: &mut Canvas<'_>,
        value: f64,
        name: &str,
        colour: plotters::style::RGBColor,
    ) {
        let (x, _) = self.at(value, 0.0);
        canvas.dashed((x, self.top), (x, self.bottom), colour);
        let left = x > (self.left + self.right) / 2;
        let align = if left { Align::Right } else { Align::Left };
        canvas.text(name, (x + if left { -10 } else { 10 }, self.top + 22), TextStyle::new(align).small());
    }

    /// Draws a horizontal threshold with its name.
    pub(crate) fn threshold_y(
        &self,
        canvas: &mut Canvas<'_>,
        value: f64,
        name: &str,
        colour: plotters::style::RGBColor,
    ) {
        let y = self.bottom - (f64::from(self.bottom - self.top) * self.y.position(value)).round() as i32;
        canvas.dashed((self.left, y), (self.right, y), colour);
        let above = if y - self.top > 40 { y - 18 } else { y + 20 };
        canvas.text(name, (self.left + 12, above), TextStyle::new(Align::Left).small());
    }
}

/// What a legend shows next to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swatch {
    /// A piece of the line.
    Line,
    Point,
    Patch,
}

/// Series names in one or more rows.
pub(crate) struct Legend {
    rows: Vec<Vec<(String, SeriesStyle, i32)>>,
    swatch: Swatch,
}

impl Legend {
    /// Lays out the names over the full width.
    pub(crate) fn new(names: impl Iterator<Item = (String, SeriesStyle)>, swatch: Swatch) -> Self {
        let mut rows: Vec<Vec<(String, SeriesStyle, i32)>> = Vec::new();
        let mut x = WIDTH;
        for (name, style) in names {
            let name = short(&name, 64);
            let needed = SWATCH + 12 + width(&name, SMALL) + 30;
            if x + needed > WIDTH || rows.is_empty() {
                rows.push(Vec::new());
                x = 30;
            }
            if let Some(row) = rows.last_mut() {
                row.push((name, style, x));
            }
            x += needed;
        }
        Self { rows, swatch }
    }

    /// Height in canvas units.
    pub(crate) fn height(&self) -> i32 {
        LEGEND_ROW * self.rows.len() as i32
    }

    /// Draws the legend below `top`.
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, top: i32) {
        for (index, row) in self.rows.iter().enumerate() {
            let y = top + LEGEND_ROW * index as i32 + LEGEND_ROW / 2;
            for (name, style, x) in row {
                match self.swatch {
                    Swatch::Line => canvas.series(&[(*x, y), (x + SWATCH, y)], *style, 5),
                    Swatch::Point => canvas.marker((x + SWATCH - 16, y), *style, 9, 1.0),
                    Swatch::Patch => {
                        canvas.fill([(x + 14, y - 13), (x + SWATCH, y + 13)], style.colour, 0.35);
                        canvas.series(&[(x + 14, y - 13), (x + SWATCH, y - 13)], *style, 4);
                    }
                }
                canvas.text(name, (x + SWATCH + 12, y), TextStyle::new(Align::Left).small());
            }
        }
    }
}

/// Space below the plotting area for tick labels and axis title, canvas units.
pub(crate) const BELOW: i32 = 92;

/// Draws the heading of one of several panels.
pub(crate) fn heading(canvas: &mut Canvas<'_>, text: &str, at: (i32, i32)) {
    canvas.text(text, at, TextStyle { size: FONT, colour: INK, ..TextStyle::new(Align::Left).bold() });
}
