//! A gateway in a booted system under QEMU, against the trainer on this machine; [`plot`] is the story.

pub mod broker;
pub mod faults;
pub mod feed;
mod field;
pub mod machine;
mod mosquitto;
pub mod package;
pub mod plot;
pub mod releases;
pub mod stage;
mod storage;
pub mod systemd;
mod uplink;
pub mod wire;
