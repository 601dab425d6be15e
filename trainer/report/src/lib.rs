//! Results → charts as SVG, self-contained HTML pages, model cards.
//!
//! [`charts`] turn numbers into a [`Picture`]; [`run`], [`comparison`] and [`card`] turn results and pictures into a
//! page and into JSON with the same content. This crate computes no results, reads no clock and accesses no files.
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
