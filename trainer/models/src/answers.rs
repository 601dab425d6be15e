//! What a fitted method returns for encoded rows.

/// Results of a fitted method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// Score of each row, higher for attacks.
    pub scores: Vec<f32>,
    /// Whether scores are probabilities of an attack.
    pub probabilities: bool,
    /// Class of each row as predicted by the method; the number of classes means "unknown". Empty if the method only
    /// scores.
    pub named: Vec<u32>,
    /// Most probable attack class of each row; empty if the method has no attack classes.
    pub likeliest: Vec<u32>,
}
