//! Both sides together.
