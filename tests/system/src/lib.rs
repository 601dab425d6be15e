//! Both sides together.

pub mod load;
pub mod networks;
