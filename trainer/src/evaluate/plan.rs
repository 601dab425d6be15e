//! What one evaluation is to do: method, split, seed, thresholds. The same words on the command line and in files.

use lapwing_methods::{Method, MethodError};
use lapwing_tables::{Fractions, Repeats, Scaling, SplitOptions, SplitRule};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A method by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum MethodName {
    /// Benign rows through a bottleneck; the score is the reconstruction error.
    Autoencoder,
    /// A benign-only autoencoder, and a logistic head on its latent values.
    LatentLogistic,
    /// A residual network under K-FAC.
    KfacNetwork,
    /// Detect, then name the kind or say unknown.
    TwoStage,
    /// A method without a network.
    Plain(Method),
}

impl MethodName {
    const NETWORKS: [Self; 4] = [Self::Autoencoder, Self::LatentLogistic, Self::KfacNetwork, Self::TwoStage];

    /// Every method.
    pub fn all() -> Vec<Self> {
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

    /// Whether it learns from benign rows only.
    pub fn benign_only(self) -> bool {
        match self {
            Self::Autoencoder => true,
            Self::Plain(method) => method.scorer().is_some(),
            _ => false,
        }
    }

    /// Whether it splits values by their order, so that scaling them changes nothing.
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

/// How a method takes categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Categories {
    /// One input of 0 and 1 for each common value.
    #[default]
    OneHot,
    /// One input a feature: how rare the value is among training rows.
    Surprisal,
    /// Not at all.
    Drop,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    /// Method.
    pub method: MethodName,
    /// How rows are parted.
    pub split: SplitRule,
    /// Seed of every random choice.
    pub seed: u64,
    /// Share of validation rows.
    pub validation: f64,
    /// Share of test rows, where the split takes one.
    pub test: f64,
    /// Days to test on, for the day split.
    pub test_days: Vec<String>,
    /// Days to validate on, for the day split.
    pub validation_days: Vec<String>,
    /// Whether validation and test rows that repeat a training row stay.
    pub repeats: Repeats,
    /// Features that nothing sees.
    pub exclude: Vec<String>,
    /// Share of normal validation rows that the threshold flags.
    pub false_positive_rate: f64,
    /// Share of attack rows mixed into what a benign-only method learns from, 0 to 0.2.
    pub contamination: f64,
    /// Attack kinds to learn from; none: all.
    pub train_kinds: Vec<String>,
    /// Attack kinds to test on; none: all.
    pub test_kinds: Vec<String>,
    /// Name attack kinds instead of telling attack from benign only.
    pub name_kinds: bool,
    /// Method of the second of two stages; gradient boosting without it.
    pub namer: Option<Method>,
    /// Share of validation attacks, the least sure ones, that two stages answer `unknown`; 0.2 without it.
    pub unknown: Option<f64>,
    /// How numbers are scaled; the method's own way without it.
    pub scaling: Option<Scaling>,
    /// How categories become inputs.
    pub categories: Categories,
    /// Combinations of features, `a+b`, that get an input each: how rare their values are together.
    pub combine: Vec<String>,
    /// At most so many training rows, drawn by seed.
    pub training_rows: Option<usize>,
    /// Widths of an autoencoder's hidden layers; none: the method's own, a gateway's.
    pub hidden: Vec<usize>,
    /// Autoencoders whose scores are averaged.
    pub members: Option<usize>,
    /// Codes of an autoencoder, whose distance is the score's other factor.
    pub codes: Option<usize>,
    /// Share of an autoencoder's inputs that are 0 while it learns.
    pub masking: Option<f32>,
    /// Most epochs of a network.
    pub epochs: Option<usize>,
    /// Of either class at most so many times the smaller one's rows.
    pub undersample: Option<f64>,
    /// Bootstrap resamples behind every interval; 0: none.
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
            namer: None,
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
    /// What the split goes by.
    pub fn split_options(&self) -> SplitOptions {
        SplitOptions {
            fractions: Fractions { validation: self.validation, test: self.test },
            repeats: self.repeats,
            test_days: self.test_days.clone(),
            validation_days: self.validation_days.clone(),
            ..SplitOptions::new(self.split, self.seed)
        }
    }

    /// Whether classes are kinds, rather than benign and attack.
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
    fn every_method_is_found_by_its_name_and_an_unknown_one_lists_them() {
        for method in MethodName::all() {
            assert_eq!(method.name().parse::<MethodName>().unwrap(), method);
        }
        let told = "oracle".parse::<MethodName>().unwrap_err().to_string();
        assert!(told.contains("`oracle`") && told.contains("two-stage") && told.contains("random-forest"), "{told}");
    }

    #[test]
    fn a_plan_reads_from_toml_and_refuses_what_it_does_not_know() {
        let plan: Plan = toml::from_str("method = \"pca\"\nsplit = \"random\"\nseed = 7").unwrap();
        assert_eq!((plan.method.name(), plan.split, plan.seed), ("pca", SplitRule::Random, 7));
        assert!(toml::from_str::<Plan>("methods = \"pca\"").is_err());
        assert!(toml::from_str::<Plan>("method = \"oracle\"").unwrap_err().to_string().contains("random-forest"));
    }
}
