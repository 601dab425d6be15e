//! Both sides together.

pub mod networks;
