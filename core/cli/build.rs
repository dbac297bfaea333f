//! Refuses to embed components that were built from other sources than those beside them.

use std::process::Command;

fn main() {
    for path in ["../../plugins", "../../wit"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let fresh = Command::new("bash").args(["../../plugins/build.sh", "--stale"]).status();
    match fresh {
        Ok(status) if status.success() => {}
        Ok(_) => println!("cargo::error=plugins/prebuilt is older than its sources: run plugins/build.sh"),
        Err(error) => println!("cargo::error=cannot run plugins/build.sh --stale: {error}"),
    }
}
