//! Options or a TOML file → the plan of an evaluation: method, split, seed, thresholds.

use lapwing_methods::{Method, MethodError};
use lapwing_tables::{Fractions, Repeats, Scaling, SplitOptions, SplitRule};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A method by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum MethodName {
    /// Autoencoder on benign rows; the score is the reconstruction error.
    Autoencoder,
    /// Autoencoder on benign rows, and logistic regression on its latent values.
    LatentLogistic,
    /// Residual network trained with K-FAC.
    KfacNetwork,
    /// A detector, then a classifier of attack classes including unknown.
    TwoStage,
    /// Classical method.
    Plain(Method),
}

impl MethodName {
    const NETWORKS: [Self; 4] = [Self::Autoencoder, Self::LatentLogistic, Self::KfacNetwork, Self::TwoStage];

    /// The networks, then the methods of `lapwing-methods`.
    pub(crate) fn all() -> Vec<Self> {
        Self::NETWORKS.into_iter().chain(Method::ALL.map(Self::Plain)).collect()
    }

    /// The name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Autoencoder => "autoencoder",
            Self::LatentLogistic => "latent-logistic",
            Self::KfacNetwork => "kfac-network",
            Self::TwoStage => "two-stage",
            Self::Plain(method) => method.name(),
        }
    }

    /// Whether it trains on benign rows only.
    pub fn benign_only(self) -> bool {
        match self {
            Self::Autoencoder => true,
            Self::Plain(method) => method.scorer().is_some(),
            _ => false,
        }
    }

    /// Whether it consists of decision trees, which scaling does not affect.
    pub fn of_trees(self) -> bool {
        use Method::{Bagging, DecisionTree, GradientBoosting, RandomForest};
        matches!(self, Self::Plain(Bagging | DecisionTree | GradientBoosting | RandomForest))
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for MethodName {
    type Err = MethodError;

    fn from_str(name: &str) -> Result<Self, MethodError> {
        let known = Self::all();
        known.iter().copied().find(|method| method.name() == name).ok_or_else(|| MethodError::UnknownMethod {
            name: name.to_owned(),
            known: known.iter().map(|method| method.name()).collect::<Vec<_>>().join(", "),
        })
    }
}

impl From<MethodName> for String {
    fn from(method: MethodName) -> Self {
        method.name().into()
    }
}

impl TryFrom<String> for MethodName {
    type Error = MethodError;

    fn try_from(name: String) -> Result<Self, MethodError> {
        name.parse()
    }
}

/// Encoding of categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Categories {
    /// One binary input per frequent value.
    #[default]
    OneHot,
    /// One input per feature: rarity of the value among training rows.
    Surprisal,
    /// Categories are dropped.
    Drop,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Plan {
    pub method: MethodName,
    /// Rule that splits the rows.
    pub split: SplitRule,
    pub seed: u64,
    /// Share of validation rows.
    pub validation: f64,
    /// Share of test rows, for splits with a share.
    pub test: f64,
    /// Test days, for the day split.
    pub test_days: Vec<String>,
    /// Validation days, for the day split.
    pub validation_days: Vec<String>,
    /// Whether validation and test rows that duplicate a training row are kept.
    pub repeats: Repeats,
    pub exclude: Vec<String>,
    /// Share of benign validation rows above the threshold.
    pub false_positive_rate: f64,
    /// Share of attack rows mixed into the training rows of a benign-only method, 0 to 0.2.
    pub contamination: f64,
    /// Attack classes to train on; empty means all.
    pub train_kinds: Vec<String>,
    /// Attack classes to test on; empty means all.
    pub test_kinds: Vec<String>,
    /// Classify attack classes instead of only attack and benign.
    pub name_kinds: bool,
    /// Method of the second stage. Default: gradient boosting. Written as `namer`, as in earlier model files.
    #[serde(rename = "namer", alias = "classifier")]
    pub classifier: Option<Method>,
    /// Share of validation attacks, the least certain ones, classified as `unknown` by two stages. Default: 0.2.
    pub unknown: Option<f64>,
    /// Scaling of numbers. Default: the method's own.
    pub scaling: Option<Scaling>,
    pub categories: Categories,
    /// Combinations of features, `a+b`; each adds an input with the rarity of its joint values.
    pub combine: Vec<String>,
    /// Maximum number of training rows, subsampled by seed. Default: unlimited.
    pub training_rows: Option<usize>,
    /// Widths of an autoencoder's hidden layers; empty means those of a gateway's model.
    pub hidden: Vec<usize>,
    /// Ensemble size: autoencoders whose scores are averaged.
    pub members: Option<usize>,
    /// Codebook size of an autoencoder; the distance to the codebook multiplies the score.
    pub codes: Option<usize>,
    /// Share of an autoencoder's inputs set to 0 during training.
    pub masking: Option<f32>,
    /// Maximum number of epochs of a network.
    pub epochs: Option<usize>,
    /// Maximum ratio of the rows of the larger class to those of the smaller. Default: unlimited.
    pub undersample: Option<f64>,
    /// Bootstrap resamples per interval; 0 disables intervals.
    pub resamples: usize,
}

impl Default for Plan {
    fn default() -> Self {
        let fractions = Fractions::default();
        Self {
            method: MethodName::Autoencoder,
            split: SplitRule::Group,
            seed: 1,
            validation: fractions.validation,
            test: fractions.test,
            test_days: Vec::new(),
            validation_days: Vec::new(),
            repeats: Repeats::Keep,
            exclude: Vec::new(),
            false_positive_rate: 0.01,
            contamination: 0.0,
            train_kinds: Vec::new(),
            test_kinds: Vec::new(),
            name_kinds: false,
            classifier: None,
            unknown: None,
            scaling: None,
            categories: Categories::default(),
            combine: Vec::new(),
            training_rows: None,
            hidden: Vec::new(),
            members: None,
            codes: None,
            masking: None,
            epochs: None,
            undersample: None,
            resamples: 200,
        }
    }
}

impl Plan {
    /// Options of the split.
    pub fn split_options(&self) -> SplitOptions {
        SplitOptions {
            fractions: Fractions { validation: self.validation, test: self.test },
            repeats: self.repeats,
            test_days: self.test_days.clone(),
            validation_days: self.validation_days.clone(),
            ..SplitOptions::new(self.split, self.seed)
        }
    }

    /// Whether classes are attack classes rather than benign and attack.
    pub fn names_kinds(&self) -> bool {
        self.name_kinds || self.method == MethodName::TwoStage
    }

    /// Name of the split.
    pub fn split_name(&self) -> &'static str {
        match self.split {
            SplitRule::Given => "given",
            SplitRule::Random => "random",
            SplitRule::Group => "group",
            SplitRule::Time => "time",
            SplitRule::Day => "day",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_parse_by_name_and_an_unknown_name_lists_them() {
        for method in MethodName::all() {
            assert_eq!(method.name().parse::<MethodName>().unwrap(), method);
        }
        let error = "oracle".parse::<MethodName>().unwrap_err().to_string();
        assert!(
            error.contains("`oracle`") && error.contains("two-stage") && error.contains("random-forest"),
            "{error}"
        );
    }

    #[test]
    fn a_plan_reads_from_toml_and_rejects_unknown_keys() {
        let plan: Plan = toml::from_str("method = \"pca\"\nsplit = \"random\"\nseed = 7").unwrap();
        assert_eq!((plan.method.name(), plan.split, plan.seed), ("pca", SplitRule::Random, 7));
        for key in ["classifier", "namer"] {
            let plan: Plan = toml::from_str(&format!("{key} = \"svm\"")).unwrap();
            assert_eq!(plan.classifier, Some(Method::Svm), "{key}");
            assert!(toml::to_string(&plan).unwrap().contains("namer = \"svm\""));
        }
        assert!(toml::from_str::<Plan>("methods = \"pca\"").is_err());
        assert!(toml::from_str::<Plan>("method = \"oracle\"").unwrap_err().to_string().contains("random-forest"));
    }
}
