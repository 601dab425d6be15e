//! Valid and invalid configuration texts → the parsed values, or the error message.
//!
//! Only sections with numeric values are compared, so that a new section does not change the goldens.

use super::Drawn;
use lapwing_agent::config::Config;
use std::fmt::Write;

const EXAMPLE: &str = include_str!("../../../../docs/examples/agent.toml");

/// The valid texts name the engine, since its default depends on the build.
const TEXTS: [&str; 13] = [
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

/// Parses every text.
pub fn draw() -> Drawn {
    let mut output = String::new();
    let example = EXAMPLE.replace("# engine = \"tract\"", "engine = \"int8\"").replace("# alert-rows", "alert-rows");
    for text in [example.as_str()].into_iter().chain(TEXTS) {
        let parsed = Config::parse(text).map_err(|error| error.to_string());
        let checked = parsed.and_then(|config| match config.check() {
            Ok(()) => Ok((config.meter, config.detector, config.samples)),
            Err(error) => Err(error.to_string()),
        });
        // Writing into a string does not fail.
        let _ = writeln!(output, "{checked:?}");
    }
    Drawn { stage: "config", subject: "texts".into(), text: output.into_bytes() }
}
