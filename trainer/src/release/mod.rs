//! A trained network → a signed release in one file.

pub mod build;
pub mod golden;
pub mod keys;
pub mod kinds;
pub mod verify;

#[cfg(test)]
mod tests;
