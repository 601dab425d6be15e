//! Passes the target triple of the build to the program, which reports it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo sets it for every build script.
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=LAPWING_TARGET={target}");
}
