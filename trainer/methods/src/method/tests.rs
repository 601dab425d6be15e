//! Properties that hold for every method.

use super::*;
use crate::{input::generator, metrics::auc, silent};

fn rows(count: usize) -> (Matrix, Vec<u32>) {
    let mut random = generator(1, 0);
    let rows = Matrix::from_values(4, (0..count * 4).map(|_| random.f32() * 10.0).collect()).unwrap();
    let labels = rows.iter().map(|row| u32::from(row[0] + row[1] > 10.0) + u32::from(row[2] > 8.0)).collect();
    (rows, labels)
}

#[test]
fn every_method_has_a_name_and_is_a_classifier_or_a_scorer() {
    for method in Method::ALL {
        assert_eq!(method.name().parse::<Method>().unwrap(), method);
        assert!(method.classifier().is_some() != method.scorer().is_some());
        if let Some(config) = method.classifier() {
            assert_eq!(config.method(), method);
        }
        if let Some(config) = method.scorer() {
            assert_eq!(config.method(), method);
        }
    }
    let error = "forest".parse::<Method>().unwrap_err().to_string();
    assert!(error.contains("`forest`") && error.contains("random-forest"), "{error}");
}

#[test]
fn every_classifier_learns_and_survives_serialization() {
    let (rows, labels) = rows(600);
    let labels = Labels::new(&labels, 4).unwrap();
    for config in Method::ALL.into_iter().filter_map(Method::classifier) {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ClassifierConfig>(&text).unwrap(), config);
        let fitted = config.fit(&rows, labels, 1, &silent).unwrap();
        assert_eq!((fitted.method(), fitted.classes(), fitted.columns()), (config.method(), 4, 4));
        let answers = fitted.probabilities(&rows).unwrap();
        assert!(answers.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-4 && row[3] < 1e-6));
        let called = crate::metrics::most_probable(&answers);
        let right = called.iter().zip(labels.values()).filter(|(a, b)| a == b).count();
        assert!(right > 480, "{}: {right} of 600", config.method());
        let text = serde_json::to_string(&fitted).unwrap();
        let read: Classifier = serde_json::from_str(&text).unwrap();
        assert_eq!(read.probabilities(&rows).unwrap(), answers, "{}", config.method());
        let shares = fitted.importance().unwrap();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-4 && shares[3] < 0.2, "{shares:?}");
    }
}

#[test]
fn every_scorer_learns_and_survives_serialization() {
    let (mut rows, _) = rows(400);
    for row in 0..400 {
        // Benign rows lie near a plane, attacks do not.
        let sum = rows.row(row)[0] + rows.row(row)[1];
        rows.row_mut(row)[2] = if row < 300 { sum } else { sum + 15.0 };
    }
    let truth: Vec<bool> = (0..400).map(|row| row >= 300).collect();
    let benign = rows.select_rows(&(0..200).collect::<Vec<_>>());
    for config in Method::ALL.into_iter().filter_map(Method::scorer) {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ScorerConfig>(&text).unwrap(), config);
        let fitted = config.fit(&benign, 1, &silent).unwrap();
        assert_eq!((fitted.method(), fitted.columns()), (config.method(), 4));
        let scores = fitted.scores(&rows).unwrap();
        let area = auc(&scores[200..], &truth[200..]).unwrap();
        assert!(area > 0.85, "{}: {area}", config.method());
        let text = serde_json::to_string(&fitted).unwrap();
        let read: Scorer = serde_json::from_str(&text).unwrap();
        assert_eq!(read.scores(&rows).unwrap(), scores, "{}", config.method());
        assert!(matches!(fitted.scores(&Matrix::zeros(1, 9)), Err(MethodError::WidthDiffers { .. })));
    }
}

#[test]
fn every_method_rejects_unusable_rows() {
    let nan = Matrix::from_values(2, vec![1.0, f32::NAN, 2.0, 3.0]).unwrap();
    let labels = Labels::new(&[0, 1], 2).unwrap();
    for config in Method::ALL.into_iter().filter_map(Method::classifier) {
        let fit = |rows: &Matrix, labels| config.fit(rows, labels, 1, &silent).map(|_| ()).unwrap_err();
        assert!(matches!(fit(&nan, labels), MethodError::NotFinite { row: 0, column: 1, .. }));
        assert!(matches!(fit(&Matrix::zeros(2, 3), labels), MethodError::AllConstant { .. }));
        assert!(matches!(fit(&Matrix::zeros(2, 0), labels), MethodError::NoColumns { .. }));
        let none = Labels::new(&[], 2).unwrap();
        assert!(matches!(fit(&Matrix::zeros(0, 3), none), MethodError::NoRows { .. }));
        let fine = Matrix::from_values(1, vec![0.0, 1.0]).unwrap();
        assert!(matches!(fit(&fine, Labels::new(&[1, 1], 2).unwrap()), MethodError::OneClass { class: 1, .. }));
    }
    for config in Method::ALL.into_iter().filter_map(Method::scorer) {
        let fit = |rows: &Matrix| config.fit(rows, 1, &silent).map(|_| ()).unwrap_err();
        let mut wide = Matrix::zeros(50, 2);
        assert!(matches!(fit(&wide), MethodError::AllConstant { .. }), "{}", config.method());
        wide.row_mut(7)[1] = f32::INFINITY;
        assert!(matches!(fit(&wide), MethodError::NotFinite { row: 7, column: 1, .. }));
        assert!(matches!(fit(&Matrix::zeros(0, 3)), MethodError::NoRows { .. }));
    }
}
