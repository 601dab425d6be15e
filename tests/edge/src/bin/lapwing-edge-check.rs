//! Computes the goldens on this processor and compares them with the expected ones.
//!
//! `lapwing-edge-check`: exit code 0 if every engine of this build gives the expected bits, 1 otherwise.
//! `lapwing-edge-check FOLDER`: also writes the output of every stage to `FOLDER/ENGINE-STAGE-SUBJECT`.

use lapwing_edge_tests::goldens::{self, Error};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Error> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let mut different = 0;
    for engine in goldens::engines() {
        let name = format!("{engine:?}").to_lowercase();
        let drawn = goldens::draw(*engine)?;
        for one in folder.iter().flat_map(|folder| drawn.iter().map(move |one| (folder, one))) {
            std::fs::write(one.0.join(format!("{name}-{}-{}", one.1.stage, one.1.subject)), &one.1.text)?;
        }
        let differences = goldens::differences(&drawn);
        for difference in &differences {
            println!("{name}: {difference}");
        }
        println!("{name} on {}: {} stages, {} different", std::env::consts::ARCH, drawn.len(), differences.len());
        different += differences.len();
    }
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
