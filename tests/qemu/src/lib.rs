//! A gateway in a booted system under QEMU, against the trainer on this machine; [`plot`] is the story.

pub mod broker;
pub mod feed;
pub mod machine;
pub mod plot;
pub mod releases;
pub mod wire;
