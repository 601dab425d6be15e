//! Methods on rows of numbers: trees, forests, boosting, linear models, clusters, projections, and how good they are.
#![forbid(unsafe_code)]
