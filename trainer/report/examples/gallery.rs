//! Synthetic results → one of every chart and page: `cargo run -p lapwing-report --example gallery -- FOLDER`.

#[path = "../samples.rs"]
#[expect(clippy::unwrap_used, reason = "synthetic results, all of which can be drawn")]
mod samples;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "gallery".into());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for (name, picture) in samples::pictures() {
        std::fs::write(folder.join(name).with_extension("svg"), picture.svg)?;
    }
    for (name, page) in [
        ("run", samples::run().html()?),
        ("comparison", samples::comparison().html()?),
        ("card", samples::card().html()?),
    ] {
        std::fs::write(folder.join(name).with_extension("html"), page)?;
    }
    Ok(())
}
