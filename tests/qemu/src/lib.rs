//! A gateway in a booted system under QEMU, against the trainer on this machine; [`plot`] is the story.

pub mod broker;
pub mod faults;
pub mod feed;
pub mod machine;
pub mod package;
pub mod plot;
pub mod releases;
pub mod stage;
pub mod wire;
