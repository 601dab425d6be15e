//! Results a person reads: charts as SVG, pages that stand alone, model cards.
//!
//! [`charts`] turn plain numbers into a [`Picture`]; [`run`], [`comparison`] and [`card`] turn results and pictures into
//! a page and JSON with the same facts. Nothing here computes a result, reads a clock or touches a file.
#![forbid(unsafe_code)]

mod canvas;
pub mod card;
pub mod charts;
pub mod comparison;
mod error;
mod facts;
mod page;
mod palette;
mod picture;
mod plot;
pub mod run;
mod scale;
mod thin;

pub use error::ReportError;
pub use facts::{Fact, KindRow, Measure, Note};
pub use picture::Picture;
