//! Trees on rows small enough to check by hand, and on random rows.

use lapwing_tables::Matrix;

use super::*;
use crate::{ForestConfig, metrics::most_probable, silent};

/// Two columns of noise and a label that is an exclusive or of their halves.
fn exclusive_or(rows: usize, seed: u64) -> (Matrix, Vec<u32>) {
    let mut random = generator(seed, 0);
    let values: Vec<f32> = (0..rows * 2).map(|_| random.f32()).collect();
    let labels = values.chunks(2).map(|pair| u32::from((pair[0] > 0.5) != (pair[1] > 0.5))).collect();
    (Matrix::from_values(2, values).unwrap(), labels)
}

fn accuracy(trees: &Trees, rows: &Matrix, labels: &[u32]) -> f64 {
    let called = most_probable(&trees.probabilities(rows).unwrap());
    called.iter().zip(labels).filter(|(c, l)| c == l).count() as f64 / labels.len() as f64
}

#[test]
fn a_stump_takes_the_cut_with_the_least_impurity() {
    // Gini of cuts by hand: after 2 (two 0s | 0 1 1 1) is 1/4, after 3 is 0, column 1 separates worse.
    let rows = Matrix::from_values(2, vec![1., 9., 2., 1., 3., 7., 4., 8., 5., 2., 6., 6.]).unwrap();
    let labels = [0, 0, 0, 1, 1, 1];
    let config = TreeConfig { max_depth: Some(1), ..TreeConfig::default() };
    let tree = config.fit(&rows, Labels::new(&labels, 2).unwrap(), 1, &silent).unwrap();
    assert_eq!((tree.leaves(), tree.depth()), (2, 1));
    assert_eq!(tree.importance(), [1.0, 0.0]);
    let queries = Matrix::from_values(2, vec![3.4, 0.0, 3.5, 0.0, 3.6, 0.0]).unwrap();
    assert_eq!(tree.probabilities(&queries).unwrap().values(), [1., 0., 1., 0., 0., 1.]);
}

#[test]
fn a_full_tree_reproduces_its_training_labels() {
    let (rows, labels) = exclusive_or(500, 1);
    let tree = TreeConfig::default().fit(&rows, Labels::new(&labels, 2).unwrap(), 1, &silent).unwrap();
    assert_eq!(accuracy(&tree, &rows, &labels), 1.0);
    let (rows, labels) = exclusive_or(2000, 2);
    assert!(accuracy(&tree, &rows, &labels) > 0.95);
}

#[test]
fn leaves_have_at_least_the_minimum_rows() {
    let (rows, labels) = exclusive_or(300, 1);
    let config = TreeConfig { min_leaf_rows: 60, ..TreeConfig::default() };
    let tree = config.fit(&rows, Labels::new(&labels, 2).unwrap(), 1, &silent).unwrap();
    assert!(tree.leaves() <= 5);
}

#[test]
fn class_weights_change_the_probabilities_of_a_leaf() {
    // Four rows with the same value 0, three of class 0 and one of class 1, and one row with another value.
    let rows = Matrix::from_values(1, vec![0., 0., 0., 0., 1.]).unwrap();
    let labels = [0, 0, 0, 1, 1];
    let config = TreeConfig { class_weights: ClassWeights::Given(vec![1.0, 9.0]), ..TreeConfig::default() };
    let tree = config.fit(&rows, Labels::new(&labels, 2).unwrap(), 1, &silent).unwrap();
    let queries = Matrix::from_values(1, vec![0.0]).unwrap();
    assert_eq!(tree.probabilities(&queries).unwrap().values(), [0.25, 0.75]);
}

#[test]
fn counting_and_sorting_find_the_same_splits() {
    // Few bins are counted, many are sorted; on whole numbers 0..16 both are exact.
    let mut random = generator(9, 0);
    let values: Vec<f32> = (0..4000).map(|_| random.u8(..16) as f32).collect();
    let rows = Matrix::from_values(4, values).unwrap();
    let labels: Vec<u32> = rows.iter().map(|row| ((row[0] + row[1] * 2.0) as u32 / 9 + random.u32(..2)) % 4).collect();
    let labels = Labels::new(&labels, 4).unwrap();
    let narrow = TreeConfig::default().fit(&rows, labels, 1, &silent).unwrap();
    // A fifth column that is constant must not change the splits.
    let mut wide = Matrix::zeros(rows.rows(), 5);
    for row in 0..rows.rows() {
        wide.row_mut(row)[..4].copy_from_slice(rows.row(row));
    }
    let same = TreeConfig::default().fit(&wide, labels, 1, &silent).unwrap();
    let left = narrow.probabilities(&rows).unwrap();
    assert_eq!(left, same.probabilities(&wide).unwrap());
}

#[test]
fn a_forest_beats_a_tree_on_noise_and_is_reproducible() {
    let mut random = generator(4, 0);
    let mut draw = |rows: usize| {
        let values: Vec<f32> = (0..rows * 10).map(|_| random.f32() - 0.5).collect();
        let labels: Vec<u32> =
            values.chunks(10).map(|row| u32::from(row.iter().sum::<f32>() + random.f32() - 0.5 > 0.0)).collect();
        (Matrix::from_values(10, values).unwrap(), labels)
    };
    let ((rows, labels), (test, truth)) = (draw(1500), draw(1500));
    let known = Labels::new(&labels, 2).unwrap();
    let tree = TreeConfig::default().fit(&rows, known, 1, &silent).unwrap();
    let config = ForestConfig { trees: 40, ..ForestConfig::default() };
    let forest = config.fit(&rows, known, 1, &silent).unwrap();
    assert!(accuracy(&forest, &test, &truth) > accuracy(&tree, &test, &truth) + 0.04);
    assert!((forest.importance().iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!(forest, config.fit(&rows, known, 1, &silent).unwrap());
    assert_ne!(forest, config.fit(&rows, known, 2, &silent).unwrap());
}

#[test]
fn the_forest_is_the_same_on_one_and_two_threads() {
    let (rows, labels) = exclusive_or(400, 6);
    let labels = Labels::new(&labels, 2).unwrap();
    for random_cuts in [false, true] {
        let tree = TreeConfig { columns: ColumnShare::SquareRoot, random_cuts, ..TreeConfig::default() };
        let config = ForestConfig { trees: 16, tree, ..ForestConfig::default() };
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let forest = config.fit(&rows, labels, 7, &silent).unwrap();
                let answers = forest.probabilities(&rows).unwrap();
                (forest, answers)
            })
        };
        assert_eq!(with(1), with(2));
    }
}

#[test]
fn bad_rows_are_rejected() {
    let rows = Matrix::from_values(1, vec![0.0, 1.0]).unwrap();
    let config = TreeConfig::default();
    let one = config.fit(&rows, Labels::new(&[1, 1], 2).unwrap(), 1, &silent);
    assert_eq!(one, Err(MethodError::OneClass { what: "decision-tree", rows: 2, class: 1 }));
    let short = config.fit(&rows, Labels::new(&[1], 2).unwrap(), 1, &silent);
    assert!(matches!(short, Err(MethodError::LengthDiffers { given: 1, expected: 2, .. })));
    let tree = config.fit(&rows, Labels::new(&[0, 1], 2).unwrap(), 1, &silent).unwrap();
    let wrong = tree.probabilities(&Matrix::zeros(1, 3));
    assert_eq!(wrong, Err(MethodError::WidthDiffers { expected: 1, given: 3 }));
    assert_eq!(tree.probabilities(&Matrix::zeros(0, 1)).unwrap().rows(), 0);
    let nan = Matrix::from_values(1, vec![f32::NAN]).unwrap();
    assert!(matches!(tree.probabilities(&nan), Err(MethodError::NotFinite { row: 0, column: 0, .. })));
}

#[test]
fn a_tiny_column_share_still_finds_the_one_column_that_varies() {
    let mut rows = Matrix::zeros(20, 50);
    let labels: Vec<u32> = (0..20).map(|row| u32::from(row >= 10)).collect();
    for row in 0..20 {
        rows.row_mut(row)[37] = row as f32;
    }
    let config = TreeConfig { columns: ColumnShare::Share(0.02), ..TreeConfig::default() };
    let tree = config.fit(&rows, Labels::new(&labels, 2).unwrap(), 3, &silent).unwrap();
    assert_eq!(accuracy(&tree, &rows, &labels), 1.0);
    assert_eq!(tree.importance()[37], 1.0);
}
