//! Networks under training: layers of any width over burn, optimizers of our own, plain weights out.
#![forbid(unsafe_code)]
