//! Comma-separated lists as Go's `encoding/csv` reads one line: a field in quotes may hold
//! commas, and `""` in it is one quote.

use wharf_sdk::{Failure, refuse};

/// The fields of a line.
///
/// # Errors
/// When a quote is in the wrong place or is not closed.
pub fn fields(line: &str) -> Result<Vec<String>, Failure> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted, line)?,
            None => plain_field(rest, line)?,
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

fn plain_field<'a>(text: &'a str, line: &str) -> Result<(String, &'a str), Failure> {
    let (field, after) = text.split_at(text.find(',').unwrap_or(text.len()));
    if field.contains('"') { Err(misplaced(line)) } else { Ok((field.to_owned(), after)) }
}

fn quoted_field<'a>(text: &'a str, line: &str) -> Result<(String, &'a str), Failure> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or_else(|| misplaced(line))?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None if after.is_empty() || after.starts_with(',') => return Ok((field, after)),
            None => return Err(misplaced(line)),
        }
    }
}

fn misplaced(line: &str) -> Failure {
    refuse(format!("misplaced quote in `{line}`")).help("quote whole fields: `\"source=a,b\",target=/x`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_at_commas_outside_of_quotes() {
        for (line, expected) in [
            ("type=bind,target=/a", Some(vec!["type=bind", "target=/a"])),
            ("\"source=a,b\",ro", Some(vec!["source=a,b", "ro"])),
            ("\"a\"\"b\"", Some(vec!["a\"b"])),
            ("a,", Some(vec!["a", ""])),
            ("a\"b", None),
            ("\"a", None),
            ("\"a\"b", None),
        ] {
            let expected = expected.map(|list| list.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(fields(line).ok(), expected, "for {line}");
        }
    }
}
