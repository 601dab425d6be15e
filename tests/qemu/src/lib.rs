//! A gateway in a booted system under QEMU, against the trainer on this machine; see [`run`].

mod campaign;
mod faults;
mod feed;
mod gateway;
mod identity;
mod listener;
mod machine;
mod mosquitto;
mod package;
mod releases;
mod scenarios;
mod setup;
mod storage;
mod systemd;
mod trainer;
mod uplink;
mod wire;

pub use machine::Architecture;
pub use scenarios::{Scenario, run};
pub use setup::{Plan, tests_folder};
