//! Both sides together.

pub mod load;
