//! Both sides together.

pub mod networks;
pub mod load;
