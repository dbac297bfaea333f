//! The example plugins as components, built where the program under test was built.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::{Sandbox, host, program, repository};

/// One of `examples/plugins`.
pub(crate) fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let components = BUILT.get_or_init(|| {
        let target = program().ancestors().nth(2).unwrap().join("example-plugins");
        let script = repository().join("examples/plugins/build.sh");
        let output = Command::new(script).arg(&target).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target.join("wasm32-unknown-unknown/release")
    });
    components.join(format!("{name}.wasm"))
}

/// The lines of a configuration that name an example: those of its README, with the place where it
/// was built. `more` are further lines of its table.
pub(crate) fn configured(name: &str, world: &str, more: &str) -> String {
    let path = example(name);
    let sum = host(&["sha256sum", path.to_str().unwrap()]);
    let digest = sum.split(' ').next().unwrap();
    format!(
        "[plugin.{name}]\nworld = \"{world}\"\nsource = \"file:{}\"\ndigest = \"sha256:{digest}\"\n{more}\n",
        path.display()
    )
}

impl Sandbox {
    /// With one of `examples/plugins` configured, beside what `before` says.
    pub(crate) fn with_example(self, before: &str, name: &str, world: &str, more: &str) -> Self {
        self.config(&format!("{before}\n{}", configured(name, world, more)));
        self
    }
}
