//! Texts in a template, spelled so that the template engine reads them as Go does.
//!
//! The engine takes the backslash before a closing quote for one that escapes it, also after another backslash, and
//! looks for escapes in raw texts, where Go has none. A backslash by its number is read right.

/// A backslash as both read it.
const BACKSLASH: &str = r"\x5c";

/// Where a template is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Action,
    Comment,
    Quoted,
    Raw,
}

/// The same template.
pub(super) fn spelled(format: &str) -> String {
    let (mut out, mut place, mut letters) = (String::new(), Place::Text, format.chars().peekable());
    while let Some(letter) = letters.next() {
        let (next, words) = match (place, letter, letters.peek()) {
            (Place::Text, '{', Some('{')) => (Place::Action, Some("{{")),
            (Place::Action, '}', Some('}')) => (Place::Text, Some("}}")),
            (Place::Action, '/', Some('*')) => (Place::Comment, Some("/*")),
            (Place::Comment, '*', Some('/')) => (Place::Action, Some("*/")),
            (Place::Quoted, '\\', Some('\\')) => (place, Some(BACKSLASH)),
            (Place::Quoted, '\\', Some('"')) => (place, Some("\\\"")),
            (Place::Action, '"', _) => (Place::Quoted, None),
            (Place::Quoted, '"', _) => (Place::Action, None),
            (Place::Action, '`', _) => (Place::Raw, None),
            (Place::Raw, '`', _) => (Place::Action, None),
            _ => (place, None),
        };
        match words {
            // Of two letters.
            Some(words) => {
                letters.next();
                out += words;
            }
            None => match (place, next, letter) {
                (Place::Action, Place::Raw, _) | (Place::Raw, Place::Action, _) => out.push('"'),
                (Place::Raw, _, '\\') => out += BACKSLASH,
                (Place::Raw, _, '"') => out += "\\\"",
                (Place::Raw, _, '\n') => out += "\\n",
                (.., letter) => out.push(letter),
            },
        }
        place = next;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_alone_are_spelled_otherwise() {
        for (format, spelled_so) in [
            (r#"a \\ `b` "c" {{.X}}"#, r#"a \\ `b` "c" {{.X}}"#),
            (r#"{{"a\\"}}\\"#, r#"{{"a\x5c"}}\\"#),
            (r#"{{"a\"b\\\"c\n"}}"#, r#"{{"a\"b\x5c\"c\n"}}"#),
            (r#"{{`a\n"b"}}`}}"#, r#"{{"a\x5cn\"b\"}}"}}"#),
            ("{{`a\nb`}}", r#"{{"a\nb"}}"#),
            (r#"{{/* " ` }} */}} {{"x"}}"#, r#"{{/* " ` }} */}} {{"x"}}"#),
            ("{{\"unclosed", "{{\"unclosed"),
        ] {
            assert_eq!(spelled(format), spelled_so, "{format}");
        }
    }
}
