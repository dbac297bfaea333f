//! What `--help` says, for every command and its own commands.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// The program: the one that `WHARF` names, else the one that was built.
pub(crate) fn program(top: &Path) -> PathBuf {
    std::env::var_os("WHARF").map_or_else(|| top.join("target/release/wharf"), PathBuf::from)
}

/// A chapter for each command, in the order of the help.
pub(crate) fn render(program: &Path) -> Outcome<String> {
    let mut page = String::new();
    append(&mut page, program, &mut Vec::new())?;
    Ok(page)
}

fn append(page: &mut String, program: &Path, words: &mut Vec<String>) -> Outcome<()> {
    let text = help(program, words)?;
    let name = ["wharf".to_owned()].iter().chain(words.iter()).cloned().collect::<Vec<_>>().join(" ");
    write!(page, "{} {name}\n\n```text\n{}\n```\n\n", "#".repeat((words.len() + 2).min(4)), text.trim())?;
    for command in listed(&text) {
        words.push(command);
        append(page, program, words)?;
        words.pop();
    }
    Ok(())
}

fn help(program: &Path, words: &[String]) -> Outcome<String> {
    let output = Command::new(program)
        .args(words)
        .arg("--help")
        .env("COLUMNS", "100")
        .env_remove("WHARF_ROOT")
        .env_remove("WHARF_RUN_ROOT")
        .output()
        .map_err(|error| format!("cannot run {}: {error}; run `./dev build` first", program.display()))?;
    if !output.status.success() {
        return Err(format!("`{} {} --help` failed", program.display(), words.join(" ")).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The names below headings that end in `ommands:`, as clap prints them.
fn listed(help: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in help.lines() {
        if !line.starts_with(' ') {
            inside = line.trim_end().ends_with("ommands:") || (inside && line.is_empty());
            continue;
        }
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
        let word = name.and_then(|rest| rest.split_whitespace().next());
        match word {
            Some(word) if inside && word != "help" => names.push(word.trim_end_matches(',').to_owned()),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_below_their_heading() {
        let help = "Usage: wharf\n\nCommands:\n  build   Build\n          more words\n  ps, ls  List\n  help    Print\n\n\
                    Options:\n  -v  Print\n";
        assert_eq!(listed(help), ["build", "ps"]);
    }

    #[test]
    fn a_command_without_commands_lists_none() {
        assert!(listed("Usage: wharf ps\n\nOptions:\n  -a  All\n").is_empty());
    }
}
