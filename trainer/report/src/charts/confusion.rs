//! Counts by true and predicted class → confusion matrix.

use crate::canvas::{Align, Canvas, SMALL, TextStyle, WIDTH, picture, short, width};
use crate::error::ReportError;
use crate::palette::{BLUE, FAINT};
use crate::picture::Picture;
use crate::scale::grouped;

/// Maximum number of classes.
const CLASSES: usize = 16;
/// Maximum length of a class name, characters.
const NAME: usize = 16;

/// Confusion matrix.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Confusion {
    pub title: String,
    /// True classes, by row.
    pub truth: Vec<String>,
    /// Predicted classes, by column; may include "unknown".
    pub answers: Vec<String>,
    /// Counts, true × predicted.
    pub counts: Vec<Vec<u64>>,
}

/// Sizes and positions, canvas units.
struct Layout {
    rows: usize,
    columns: usize,
    left: i32,
    top: i32,
    cell_width: i32,
    cell_height: i32,
    /// Column names are vertical.
    vertical: bool,
}

impl Layout {
    fn new(confusion: &Confusion) -> Self {
        let rows = confusion.truth.len().min(CLASSES);
        let columns = confusion.answers.len().min(CLASSES);
        let widest = |names: &[String]| names.iter().map(|name| width(&short(name, NAME), SMALL)).max().unwrap_or(0);
        let left = widest(&confusion.truth) + 84;
        let cell_width = ((WIDTH - left - 20) / columns as i32).min(230);
        let cell_height = cell_width.min(if rows > 6 { 74 } else { 110 });
        let name_width = widest(&confusion.answers);
        let vertical = name_width > cell_width - 8;
        let name_height = if vertical { name_width } else { 30 };
        let top = name_height + 74;
        Self { rows, columns, left, top, cell_width, cell_height, vertical }
    }

    fn bottom(&self) -> i32 {
        self.top + self.cell_height * self.rows as i32
    }

    fn corner(&self, row: usize, column: usize) -> (i32, i32) {
        (self.left + self.cell_width * column as i32, self.top + self.cell_height * row as i32)
    }
}

impl Confusion {
    /// Draws the chart.
    ///
    /// # Errors
    /// If the counts do not fit the names, or are all 0.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        self.check()?;
        let layout = Layout::new(self);
        picture(&self.title, &self.caption(), layout.bottom() + 20, |canvas| {
            self.draw_names(canvas, &layout);
            for row in 0..layout.rows {
                let total: u64 = self.counts[row].iter().sum();
                for column in 0..layout.columns {
                    draw_cell(canvas, &layout, layout.corner(row, column), self.counts[row][column], total);
                }
            }
        })
    }

    fn draw_names(&self, canvas: &mut Canvas<'_>, layout: &Layout) {
        let Layout { rows, columns, left, top, cell_width, cell_height, vertical } = *layout;
        let middle = left + cell_width * columns as i32 / 2;
        canvas.text("predicted class", (middle, 24), TextStyle::new(Align::Middle));
        canvas.text("true class", (26, top + cell_height * rows as i32 / 2), TextStyle::new(Align::Middle).vertical());
        for (column, name) in self.answers.iter().take(columns).enumerate() {
            let x = left + cell_width * column as i32 + cell_width / 2;
            let style = TextStyle::new(if vertical { Align::Left } else { Align::Middle }).small();
            canvas.text(&short(name, NAME), (x, top - 24), if vertical { style.vertical() } else { style });
        }
        for (row, name) in self.truth.iter().take(rows).enumerate() {
            let y = top + cell_height * row as i32 + cell_height / 2;
            canvas.text(&short(name, NAME), (left - 14, y), TextStyle::new(Align::Right).small());
        }
    }

    fn check(&self) -> Result<(), ReportError> {
        let shape = |what, found, expected| ReportError::Shape { picture: self.title.clone(), what, found, expected };
        if self.counts.len() != self.truth.len() {
            return Err(shape("rows of counts", self.counts.len(), self.truth.len()));
        }
        if let Some(row) = self.counts.iter().find(|row| row.len() != self.answers.len()) {
            return Err(shape("counts in a row", row.len(), self.answers.len()));
        }
        if self.counts.iter().flatten().all(|count| *count == 0) {
            return Err(ReportError::Empty { picture: self.title.clone(), expected: "one row" });
        }
        Ok(())
    }

    fn caption(&self) -> String {
        let rows: u64 = self.counts.iter().flatten().sum();
        let mut caption = format!(
            "{rows} rows. Each cell shows the number of rows and their share of the true class, which sets the shade."
        );
        let hidden = self.truth.len().saturating_sub(CLASSES) + self.answers.len().saturating_sub(CLASSES);
        if hidden > 0 {
            caption += &format!(" {hidden} classes after the first {CLASSES} in each direction are not drawn.");
        }
        caption
    }
}

fn draw_cell(canvas: &mut Canvas<'_>, layout: &Layout, (x, y): (i32, i32), count: u64, total: u64) {
    let share = count as f64 / total.max(1) as f64;
    let corners = [(x, y), (x + layout.cell_width, y + layout.cell_height)];
    // Half opacity at most, so that text stays readable on light and dark pages.
    canvas.fill(corners, BLUE, 0.02 + 0.48 * share);
    canvas.outline(corners, FAINT);
    let size = if layout.cell_width < 96 { 19.0 } else { SMALL };
    let style = |bold: bool| TextStyle { size, bold, ..TextStyle::new(Align::Middle) };
    let (middle, centre) = (y + layout.cell_height / 2, x + layout.cell_width / 2);
    canvas.text(&grouped(&count.to_string()), (centre, middle - 15), style(count > 0));
    canvas.text(&percent(share, count), (centre, middle + 16), style(false));
}

/// A share in percent; only exact values are shown as 0 % and 100 %.
fn percent(share: f64, count: u64) -> String {
    let percent = share * 100.0;
    match () {
        () if count == 0 => "0 %".into(),
        () if percent < 0.1 => "<0.1 %".into(),
        () if share < 1.0 && percent > 99.9 => ">99.9 %".into(),
        () => format!("{percent:.1} %"),
    }
}
