//! `INCLUDE file`: the lines of a file of the build context, as if they stood here.
//!
//! The path is relative to the build context, also in a file that is included itself. The engine
//! remembers what was read: as long as the file is the same, the plan is not made again.

use wharf_sdk::instruction::{BodyKind, Context, Invocation, KeywordSpec, Outcome, Root};
use wharf_sdk::{Failure, FailureKind, Instruction, Request, refuse};

/// Bytes of a file.
const LONGEST: u64 = 1 << 20;

struct Include;

wharf_sdk::export_instruction!(Include);

impl Instruction for Include {
    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:expand", "puts the file's lines in place of the INCLUDE"),
            Request::new("read:context", "reads the file"),
        ]
    }

    fn describe() -> Vec<KeywordSpec> {
        vec![
            KeywordSpec::new("INCLUDE", "the lines of a file of the build context", BodyKind::Words)
                .expanding(),
        ]
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        let [path] = call.words() else {
            return Err(refuse("INCLUDE requires exactly one file").help("write `INCLUDE common.docker`"));
        };
        let Some(content) = context.read(&Root::Local, path, LONGEST)? else {
            return Err(refuse(format!("there is no file {path} in the build context"))
                .kind(FailureKind::NotFound)
                .help("paths are relative to the build context; .dockerignore may leave it out"));
        };
        match String::from_utf8(content) {
            Ok(text) => Ok(Outcome::lines_of(path, &text)),
            Err(_) => Err(refuse(format!("{path} is not a text in UTF-8"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::{Stage, words};

    fn include(line: &str, files: &[(&str, &[u8])]) -> Result<Vec<String>, Failure> {
        let files = files.iter().map(|(path, content)| ((*path).into(), content.to_vec())).collect();
        match Include::plan(&words("INCLUDE", line), &Stage { files, ..Stage::default() })? {
            Outcome::Expand(lines) => Ok(lines),
            other => panic!("not lines: {other:?}"),
        }
    }

    #[test]
    fn the_lines_say_where_they_are_from() {
        let lines = include("a b/x", &[]).unwrap_err();
        assert_eq!(lines.message(), "INCLUDE requires exactly one file");
        let lines = include("b/x", &[("b/x", b"RUN a\n\nRUN b\n")]).unwrap();
        assert_eq!(lines, ["#line 1 \"b/x\"", "RUN a", "", "RUN b"]);
    }

    #[test]
    fn what_cannot_be_included_is_named() {
        for (line, said) in [
            ("gone", "there is no file gone in the build context"),
            ("binary", "binary is not a text in UTF-8"),
            ("", "INCLUDE requires exactly one file"),
        ] {
            assert_eq!(include(line, &[("binary", b"\xff\xfe")]).unwrap_err().message(), said);
        }
    }
}
