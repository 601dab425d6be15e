//! Results a person reads: charts as SVG, pages that stand alone, model cards.
#![forbid(unsafe_code)]
