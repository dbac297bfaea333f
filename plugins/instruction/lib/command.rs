//! The two ways to write a command: a JSON array that is run as it is, or a line for the
//! stage's SHELL.

use wharf_sdk::instruction::{Body, Context, Invocation};

/// The argument vector that CMD and ENTRYPOINT put into the image.
pub fn argv(call: &Invocation, context: &dyn Context) -> Vec<String> {
    match &call.body {
        Body::Json(words) => words.clone(),
        _ => {
            let mut argv = context.shell();
            argv.push(call.text().to_owned());
            argv
        }
    }
}

/// Whether it is written as a line for the shell, and nobody chose that shell with SHELL.
pub fn needs_default_shell(call: &Invocation, context: &dyn Context) -> bool {
    matches!(call.body, Body::Text(_)) && context.shell() == ["/bin/sh", "-c"]
}

/// The first line of a script, so that progress stays on one line.
pub fn first_line(script: &str) -> &str {
    let mut lines = script.lines().map(str::trim);
    lines.find(|line| !line.is_empty() && !line.starts_with("#!")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::{Stage, call, text};

    #[test]
    fn only_the_shell_form_gets_the_shell() {
        let mut stage = Stage::default();
        let json = call("CMD", Body::Json(vec!["a".into(), "b c".into()]));
        assert_eq!(argv(&json, &stage), ["a", "b c"]);
        assert_eq!(argv(&text("CMD", " echo $HOME "), &stage), ["/bin/sh", "-c", "echo $HOME"]);
        stage.shell = vec!["/bin/bash".into(), "-lc".into()];
        assert_eq!(argv(&text("CMD", "x"), &stage), ["/bin/bash", "-lc", "x"]);
        assert_eq!(argv(&text("CMD", ""), &stage), ["/bin/bash", "-lc", ""]);
        assert!(argv(&call("CMD", Body::Json(vec![])), &stage).is_empty());
        assert!(!needs_default_shell(&text("CMD", "x"), &stage));
        assert!(needs_default_shell(&text("CMD", "x"), &Stage::default()));
    }

    #[test]
    fn progress_shows_what_a_script_does_first() {
        assert_eq!(first_line("#!/usr/bin/env python\n\n  import os\n"), "import os");
    }
}
