//! `--name=value` between a keyword and its body.

use wharf_model::statement::FlagSpec;

use super::error::Problem;
use super::keyword::nearest;

/// A flag that its keyword knows.
#[derive(Debug)]
pub(super) struct Flag<'a> {
    pub(super) spec: &'a FlagSpec,
    pub(super) value: Option<String>,
}

/// Checks each flag against the keyword's specs.
pub(super) fn parse<'a>(written: &[String], specs: &'a [FlagSpec]) -> Result<Vec<Flag<'a>>, Problem> {
    let mut flags: Vec<Flag<'a>> = Vec::new();
    for text in written {
        let flag = one(text, specs)?;
        let is_repeated = flags.iter().any(|before| before.spec.name == flag.spec.name);
        if is_repeated && !flag.spec.repeatable {
            return Err(Problem::RepeatedFlag(flag.spec.name.clone()));
        }
        flags.push(flag);
    }
    Ok(flags)
}

fn one<'a>(text: &str, specs: &'a [FlagSpec]) -> Result<Flag<'a>, Problem> {
    let text = text.strip_prefix("--").unwrap_or(text);
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let spec = specs.iter().find(|spec| spec.name == name).ok_or_else(|| unknown(name, specs))?;
    let value = if spec.takes_value { Some(required(name, value)?) } else { boolean(name, value)? };
    Ok(Flag { spec, value })
}

fn unknown(name: &str, specs: &[FlagSpec]) -> Problem {
    let meant = nearest(name, specs.iter().map(|spec| spec.name.as_str()));
    Problem::UnknownFlag { flag: name.to_owned(), meant: meant.map(str::to_owned) }
}

fn required(name: &str, value: Option<&str>) -> Result<String, Problem> {
    value.map(str::to_owned).ok_or_else(|| Problem::FlagWithoutValue(name.to_owned()))
}

fn boolean(name: &str, value: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(value) = value else { return Ok(None) };
    match value.to_ascii_lowercase().as_str() {
        "" => Err(Problem::FlagWithoutValue(name.to_owned())),
        lower @ ("true" | "false") => Ok(Some(lower.to_owned())),
        _ => Err(Problem::NotBoolean { flag: name.to_owned(), value: value.to_owned() }),
    }
}
