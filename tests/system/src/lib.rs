//! Both sides together.

pub mod demo;
pub mod load;
pub mod networks;
pub mod stage;
