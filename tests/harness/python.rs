//! The image `python:3.6` of the tests: the distribution's packages, put together by
//! `./dev base` and made into an image by wharf's own `import` and `build`.

use std::path::PathBuf;

use super::Sandbox;
use super::sandbox::{busybox_template, template};

/// Copies a root with `python:3.6`, which is made once for a program under test.
pub(super) fn template_of(sandbox: &Sandbox) {
    let finished = template("python");
    if !finished.exists() {
        let maker = sandbox.beside();
        busybox_template(&maker);
        let tar = root_file_system();
        maker.wharf(["import", tar.to_str().unwrap(), "wharf.local/distribution-python"]).success();
        let context = super::repository().join("examples/python");
        maker.wharf(["build", "-t", "python:3.6", "--network", "none", context.to_str().unwrap()]).success();
        maker.into_template(&finished);
    }
    sandbox.clone_from(&finished);
}

fn root_file_system() -> PathBuf {
    let beside_program = || super::sandbox::workshop().parent().unwrap().join("base/rootfs.tar");
    let tar = std::env::var_os("WHARF_BASE").map_or_else(beside_program, PathBuf::from);
    assert!(tar.exists(), "{} is not there: run `./dev base`", tar.display());
    tar
}
