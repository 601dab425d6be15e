//! Confusion matrix: counts, and the share of each true class.

use crate::canvas::{SMALL, Side, WIDTH, Words, picture, short, width};
use crate::error::ReportError;
use crate::palette::{BLUE, FAINT};
use crate::picture::Picture;
use crate::scale::grouped;

/// Most classes that are drawn.
const CLASSES: usize = 16;

/// Counts by true and by answered class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Confusion {
    /// Heading.
    pub title: String,
    /// True classes, by row.
    pub truth: Vec<String>,
    /// Answers, by column: the classes, and where the method can say so "unknown".
    pub answers: Vec<String>,
    /// Counts, truth × answers.
    pub counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Draws it.
    ///
    /// # Errors
    /// When the counts do not fit the names, or there are none.
    pub fn picture(&self) -> Result<Picture, ReportError> {
        self.check()?;
        let rows = self.truth.len().min(CLASSES);
        let columns = self.answers.len().min(CLASSES);
        let widest = self.truth.iter().map(|name| width(&short(name, 16), SMALL)).max().unwrap_or(0);
        let left = widest + 84;
        let cell = ((WIDTH - left - 20) / columns as i32).min(230);
        let tall = cell.min(if rows > 6 { 74 } else { 110 });
        let upright = self.answers.iter().any(|name| width(&short(name, 16), SMALL) > cell - 8);
        let names =
            if upright { self.answers.iter().map(|n| width(&short(n, 16), SMALL)).max().unwrap_or(0) } else { 30 };
        let top = names + 74;
        picture(&self.title, &self.caption(), top + tall * rows as i32 + 20, |canvas| {
            let middle = left + cell * columns as i32 / 2;
            canvas.words("answer", (middle, 24), Words::new(Side::Middle));
            canvas.words("truth", (26, top + tall * rows as i32 / 2), Words::new(Side::Middle).upright());
            for (column, name) in self.answers.iter().take(columns).enumerate() {
                let x = left + cell * column as i32 + cell / 2;
                let words = Words::new(if upright { Side::Left } else { Side::Middle }).small();
                canvas.words(&short(name, 16), (x, top - 24), if upright { words.upright() } else { words });
            }
            for (row, name) in self.truth.iter().take(rows).enumerate() {
                let y = top + tall * row as i32;
                canvas.words(&short(name, 16), (left - 14, y + tall / 2), Words::new(Side::Right).small());
                let sum: u64 = self.counts[row].iter().sum();
                for column in 0..columns {
                    let x = left + cell * column as i32;
                    let count = self.counts[row][column];
                    let share = count as f64 / sum.max(1) as f64;
                    let corners = [(x, y), (x + cell, y + tall)];
                    // Never darker than this, so that words on it stay readable on light and dark pages.
                    canvas.fill(corners, BLUE, 0.02 + 0.48 * share);
                    canvas.outline(corners, FAINT);
                    let size = if cell < 96 { 19.0 } else { SMALL };
                    let words = |bold: bool| Words { size, bold, ..Words::new(Side::Middle) };
                    let centre = x + cell / 2;
                    canvas.words(&grouped(&count.to_string()), (centre, y + tall / 2 - 15), words(count > 0));
                    canvas.words(&percent(share, count), (centre, y + tall / 2 + 16), words(false));
                }
            }
        })
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
            "{rows} rows. Upper number: rows; lower: share of the rows of that true class, which sets the shade."
        );
        let hidden = self.truth.len().saturating_sub(CLASSES) + self.answers.len().saturating_sub(CLASSES);
        if hidden > 0 {
            caption += &format!(" {hidden} rows and columns beyond the first {CLASSES} are not drawn.");
        }
        caption
    }
}

/// A share that never reads as 0 or 100 % unless it is.
fn percent(share: f64, count: u64) -> String {
    let percent = share * 100.0;
    match () {
        () if count == 0 => "0 %".into(),
        () if percent < 0.1 => "<0.1 %".into(),
        () if share < 1.0 && percent > 99.9 => ">99.9 %".into(),
        () => format!("{percent:.1} %"),
    }
}
