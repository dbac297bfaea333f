//! How a Dockerfile is written.

use wharf_model::Diagnostic;

use super::warning;
use crate::build::dockerfile::{Dockerfile, Keywords, Statement};

/// Keywords in another case than most of the file's. What is mixed in itself counts for neither.
pub(super) fn casing(dockerfile: &Dockerfile) -> Vec<Diagnostic> {
    let statements = &dockerfile.statements;
    let count = |is: fn(&str) -> bool| statements.iter().filter(|statement| is(&statement.written)).count();
    let (lower, upper) = (count(is_lower), count(is_upper));
    let (fits, most): (fn(&str) -> bool, _) =
        if lower > upper { (is_lower, "lowercase") } else { (is_upper, "uppercase") };
    statements
        .iter()
        .filter(|statement| !fits(&statement.written))
        .map(|statement| {
            let message = format!(
                "Command '{}' should match the case of the command majority ({most})",
                statement.written
            );
            warning("ConsistentInstructionCasing", message, &statement.span)
        })
        .collect()
}

/// A comment right above a named stage or an argument that looks like its description but names
/// something else.
pub(super) fn description(statement: &Statement, keywords: &Keywords) -> Option<Diagnostic> {
    let spec = keywords.get(statement.keyword.as_ref()?)?;
    let names: Vec<String> = match statement.words().as_slice() {
        [_, word, name] if spec.starts_stage && word.eq_ignore_ascii_case("as") => vec![name.to_lowercase()],
        words if spec.before_from && !spec.starts_stage => {
            words.iter().filter_map(|word| word.split('=').next()).map(str::to_owned).collect()
        }
        _ => return None,
    };
    let first = statement.comments.last()?.split(' ').next()?;
    if names.iter().any(|name| name == first) {
        return None;
    }
    let name = if names.len() > 1 { "<arg_key>" } else { names.first()? };
    let message = format!("Comment for {} should follow the format: `# {name} <description>`", spec.keyword);
    let help = "if it is not meant to be a description, add an empty comment below it";
    let warning = warning("InvalidDefinitionDescription", message, &statement.span);
    Some(Diagnostic { help: Some(help.to_owned()), ..warning })
}

fn is_lower(word: &str) -> bool {
    !word.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_upper(word: &str) -> bool {
    !word.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::dockerfile::{Keywords, parse};

    fn odd(text: &str) -> Vec<String> {
        let dockerfile = parse("Dockerfile", text.as_bytes(), &Keywords::new([])).unwrap();
        casing(&dockerfile).into_iter().map(|warning| warning.message).collect()
    }

    #[test]
    fn the_majority_s_case_is_the_case() {
        let said = |word: &str, most: &str| {
            format!("Command '{word}' should match the case of the command majority ({most})")
        };
        for (text, expected) in [
            ("FROM a\nRUN b", vec![]),
            ("from a\nrun b", vec![]),
            ("FROM a\nRUN b\nrun c", vec![said("run", "uppercase")]),
            ("from a\nrun b\nRUN c", vec![said("RUN", "lowercase")]),
            ("FROM a\nrun b", vec![said("run", "uppercase")]),
            ("From a\nRUN b", vec![said("From", "uppercase")]),
        ] {
            assert_eq!(odd(text), expected, "{text}");
        }
    }
}
