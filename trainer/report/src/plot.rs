//! A plotting area with axes and a legend, into which charts put their data.

use crate::canvas::{Canvas, FONT, SMALL, Side, WIDTH, Words, short, width};
use crate::palette::{FAINT, GRID, INK, Look};
use crate::scale::Scale;
use crate::thin;

/// Most points of one line.
const LINE_POINTS: usize = 1_500;
const LEGEND_ROW: i32 = 42;
const SAMPLE: i32 = 64;

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
    /// Over the whole width, from `top` to `bottom`, axis words outside of both.
    pub(crate) fn new(x: Scale, y: Scale, top: i32, bottom: i32) -> Self {
        Self::between(x, y, (0, WIDTH), (top, bottom))
    }

    /// Between two edges of the canvas; room for the axis words is taken within them.
    pub(crate) fn between(x: Scale, y: Scale, (left, right): (i32, i32), (top, bottom): (i32, i32)) -> Self {
        let widest = y.ticks.iter().map(|(_, text)| width(text, SMALL)).max().unwrap_or(0);
        Self { left: left + widest + 66, top, right: right - 34, bottom, x, y }
    }

    /// Place of a value on the canvas.
    pub(crate) fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let across = f64::from(self.right - self.left) * self.x.place(x);
        let up = f64::from(self.bottom - self.top) * self.y.place(y);
        (self.left + across.round() as i32, self.bottom - up.round() as i32)
    }

    /// Grid, frame, tick texts and names of the axes.
    pub(crate) fn axes(&self, canvas: &mut Canvas<'_>) {
        let mut free_from = i32::MIN;
        for (value, text) in &self.x.ticks {
            let (x, _) = self.at(*value, 0.0);
            canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 2);
            let half = width(text, SMALL) / 2;
            if x - half > free_from {
                canvas.words(text, (x, self.bottom + 26), Words::new(Side::Middle).small());
                free_from = x + half + 8;
            }
        }
        for (value, text) in &self.y.ticks {
            let y = self.bottom - (f64::from(self.bottom - self.top) * self.y.place(*value)).round() as i32;
            canvas.line(&[(self.left, y), (self.right, y)], GRID, 2);
            canvas.words(text, (self.left - 12, y), Words::new(Side::Right).small());
        }
        canvas.outline([(self.left, self.top), (self.right, self.bottom)], FAINT);
        self.names(canvas);
    }

    fn names(&self, canvas: &mut Canvas<'_>) {
        let middle = (self.left + self.right) / 2;
        canvas.words(&self.x.label, (middle, self.bottom + 64), Words::new(Side::Middle));
        let widest = self.y.ticks.iter().map(|(_, text)| width(text, SMALL)).max().unwrap_or(0);
        let at = (self.left - widest - 40, (self.top + self.bottom) / 2);
        canvas.words(&self.y.label, at, Words::new(Side::Middle).upright());
    }

    /// A line through the finite points; answers how many were drawn.
    pub(crate) fn draw_line(&self, canvas: &mut Canvas<'_>, points: &[(f64, f64)], look: Look) {
        let finite = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let placed: Vec<(i32, i32)> = finite.map(|(x, y)| self.at(*x, *y)).collect();
        canvas.series(&thin::line(&placed, LINE_POINTS), look, 4);
    }

    /// A vertical threshold with its name at the top, on the side where there is room.
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
        let side = if left { Side::Right } else { Side::Left };
        canvas.words(name, (x + if left { -10 } else { 10 }, self.top + 22), Words::new(side).small());
    }

    /// A horizontal threshold with its name above it.
    pub(crate) fn threshold_y(
        &self,
        canvas: &mut Canvas<'_>,
        value: f64,
        name: &str,
        colour: plotters::style::RGBColor,
    ) {
        let y = self.bottom - (f64::from(self.bottom - self.top) * self.y.place(value)).round() as i32;
        canvas.dashed((self.left, y), (self.right, y), colour);
        let above = if y - self.top > 40 { y - 18 } else { y + 20 };
        canvas.words(name, (self.left + 12, above), Words::new(Side::Left).small());
    }
}

/// What a legend shows beside a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// A piece of the line.
    Line,
    /// The marker.
    Point,
    /// A filled patch.
    Patch,
}

/// Names of the series, in as many rows as they need.
pub(crate) struct Legend {
    rows: Vec<Vec<(String, Look, i32)>>,
    sample: Sample,
}

impl Legend {
    /// Lays the names out over the whole width.
    pub(crate) fn new(names: impl Iterator<Item = (String, Look)>, sample: Sample) -> Self {
        let mut rows: Vec<Vec<(String, Look, i32)>> = Vec::new();
        let mut x = WIDTH;
        for (name, look) in names {
            let name = short(&name, 64);
            let needs = SAMPLE + 12 + width(&name, SMALL) + 30;
            if x + needs > WIDTH || rows.is_empty() {
                rows.push(Vec::new());
                x = 30;
            }
            if let Some(row) = rows.last_mut() {
                row.push((name, look, x));
            }
            x += needs;
        }
        Self { rows, sample }
    }

    /// Height, canvas units.
    pub(crate) fn height(&self) -> i32 {
        LEGEND_ROW * self.rows.len() as i32
    }

    /// Draws it below `top`.
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, top: i32) {
        for (place, row) in self.rows.iter().enumerate() {
            let y = top + LEGEND_ROW * place as i32 + LEGEND_ROW / 2;
            for (name, look, x) in row {
                match self.sample {
                    Sample::Line => canvas.series(&[(*x, y), (x + SAMPLE, y)], *look, 5),
                    Sample::Point => canvas.marker((x + SAMPLE - 16, y), *look, 9, 1.0),
                    Sample::Patch => {
                        canvas.fill([(x + 14, y - 13), (x + SAMPLE, y + 13)], look.colour, 0.35);
                        canvas.series(&[(x + 14, y - 13), (x + SAMPLE, y - 13)], *look, 4);
                    }
                }
                canvas.words(name, (x + SAMPLE + 12, y), Words::new(Side::Left).small());
            }
        }
    }
}

/// Room below a plot's bottom for tick texts and the axis name, canvas units.
pub(crate) const BELOW: i32 = 92;

/// A heading inside of the canvas, for one of several panels.
pub(crate) fn heading(canvas: &mut Canvas<'_>, text: &str, at: (i32, i32)) {
    canvas.words(text, at, Words { size: FONT, colour: INK, ..Words::new(Side::Left).bold() });
}
