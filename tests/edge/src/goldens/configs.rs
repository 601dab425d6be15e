//! Configuration texts, right and wrong → the values that were read, or the message that a person gets.
//!
//! Only sections whose values are computed with are told, so that a new section changes nothing here.

use super::Drawn;
use lapwing_agent::config::Config;
use std::fmt::Write;

/// Texts; the engine is named in those that are right, since its default depends on the build.
const TEXTS: [&str; 14] = [
    include_str!("../../../../docs/examples/agent.toml"),
    "[detector]\nengine = \"int8\"\nalerts-per-day = 0.001\n[meter]\nidle-timeout = \"0.1s\"\nactive-timeout = \"59.999s\"\n",
    "[detector]\nengine = \"int8\"\n[meter]\nmax-flows = 16\nlocal-networks = [\"10.0.0.0/8\", \"fd00::/8\"]\n",
    "[detector]\nengine = \"int8\"\nalerts-per-day = 0\n",
    "[detector]\nengine = \"int8\"\nalerts-per-day = 1e9\n",
    "[detector]\nengine = \"fast\"\n",
    "[meter]\nidle-timeot = \"60s\"\n",
    "[meter]\nidle-timeout = \"60\"\n",
    "[meter]\nactive-timeout = \"2h\"\n",
    "[meter]\nmax-flows = 15\n",
    "[meter]\nlocal-networks = [\"192.168.1.0\"]\n",
    "[detector]\nengine = \"int8\"\n[samples]\nrows = 257\n",
    "[mqtt]\ndelivery = \"maybe\"\n",
    "[update\n",
];

/// What becomes of every text.
pub fn draw() -> Drawn {
    let mut told = String::new();
    for text in TEXTS {
        let read = Config::parse(text).map_err(|error| error.to_string());
        let checked = read.and_then(|config| match config.check() {
            Ok(()) => Ok((config.meter, config.detector, config.samples)),
            Err(error) => Err(error.to_string()),
        });
        // Writing into a string does not fail.
        let _ = writeln!(told, "{checked:?}");
    }
    Drawn { stage: "config", subject: "texts".into(), text: told.into_bytes() }
}
