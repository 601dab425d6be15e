//! Rows of numbers → a dense matrix, the input and output of every method: row-major `f32`, rows × columns.

use serde::{Deserialize, Serialize};

/// A dense table of numbers, row-major.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, values: vec![0.0; rows * columns] }
    }

    /// From values in row-major order; `None` if their number is not a multiple of `columns`, or `columns` is 0.
    pub fn from_values(columns: usize, values: Vec<f32>) -> Option<Self> {
        let rows = values.len().checked_div(columns)?;
        (rows * columns == values.len()).then_some(Self { rows, columns, values })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row.
    ///
    /// # Panics
    /// If the row does not exist, which is a bug in the program, never invalid input.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// One row, mutable; panics as [`Self::row`].
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.columns..][..self.columns]
    }

    /// Every row, first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        (0..self.rows).map(|row| self.row(row))
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The given rows, in the given order.
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|row| self.row(*row).iter().copied()).collect();
        Self { rows: rows.len(), columns: self.columns, values }
    }

    /// The given columns, in the given order.
    pub fn select_columns(&self, columns: &[usize]) -> Self {
        let values = self.iter().flat_map(|row| columns.iter().map(|column| row[*column])).collect();
        Self { rows: self.rows, columns: columns.len(), values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_must_fill_whole_rows() {
        assert_eq!(Matrix::from_values(3, vec![0.0; 7]), None);
        assert_eq!(Matrix::from_values(0, Vec::new()), None);
    }

    #[test]
    fn rows_and_columns_are_selected_in_the_given_order() {
        let matrix = Matrix::from_values(2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(matrix.select_rows(&[2, 0]).values(), [5.0, 6.0, 1.0, 2.0]);
        assert_eq!(matrix.select_columns(&[1]).values(), [2.0, 4.0, 6.0]);
    }
}
