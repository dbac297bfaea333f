//! `COPY [--from=...] source ... destination`: files of the build context, of a stage or of an image;
//! a directory's content, not the directory. `<<NAME` writes a file in place.

use wharf_instructions::transfer::{self, Transfer};
use wharf_sdk::instruction::{BodyKind, Context, FlagSpec, Input, Invocation, KeywordSpec, Outcome};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct Copy;

wharf_sdk::export_instruction!(Copy);

impl Instruction for Copy {
    fn describe() -> Vec<KeywordSpec> {
        let keyword = KeywordSpec::new("COPY", "copy files into the image", BodyKind::JsonOrWords);
        let keyword = keyword.expanding().with_heredocs();
        let own = [
            FlagSpec::value("from", "copy from this stage, image or named context"),
            FlagSpec::switch("parents", "keep the directories of each source"),
        ];
        vec![own.into_iter().chain(transfer::flags()).fold(keyword, KeywordSpec::flag)]
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:copy", "copies files into the image"),
            Request::new("ops:write", "writes here-documents into the image"),
            Request::new("ops:image", "copies from other images, `--from`"),
        ]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let mut transfer = Transfer::read(call)?;
        if let Some(source) = transfer.sources.iter().find(|source| transfer::is_remote(source)) {
            let what = if transfer::is_git(source) { "git ref" } else { "URL" };
            let help = format!("write `ADD {source} {}`", transfer.dest);
            return Err(refuse(format!("source can't be a {what} for COPY: {source}")).help(help));
        }
        if let Some(from) = call.flag("from") {
            transfer.from = from_input(from)?;
        }
        transfer.plan()
    }
}

fn from_input(from: &str) -> Result<Input, Failure> {
    match from {
        "" => Err(refuse("--from names nothing").help("write `--from=STAGE` or `--from=IMAGE`")),
        name if name.contains('$') => {
            let message = "variable expansion is not supported for --from";
            let help = "write `FROM $IMAGE AS name` with an ARG before the first FROM, and `--from=name`";
            Err(refuse(message).help(help))
        }
        "scratch" => Err(refuse("--from=scratch: there is nothing to copy from")),
        name => Ok(Input::Named(name.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::instruction::{CopyFiles, Plan};
    use wharf_sdk::testing::{Stage, words};

    fn plan(call: &Invocation) -> Result<Plan, Failure> {
        match Copy::plan(call, &Stage::default())? {
            Outcome::Plan(plan) => Ok(plan),
            other => panic!("not a plan: {other:?}"),
        }
    }

    #[test]
    fn files_come_from_where_it_says() {
        let plan =
            plan(&words("COPY", "/out /usr/bin/app").with_flag("from", "build").with_switch("parents"));
        let copy = CopyFiles {
            parents: true,
            ..CopyFiles::new(Input::Stage, Input::Named("build".into()), vec!["/out".into()], "/usr/bin/app")
        };
        assert_eq!(plan.unwrap().ops[0].action, copy.into());
    }

    #[test]
    fn where_files_come_from_is_known_without_variables() {
        let error = plan(&words("COPY", "/a /b").with_flag("from", "$STAGE")).unwrap_err();
        assert_eq!(error.message(), "variable expansion is not supported for --from");
    }

    #[test]
    fn the_web_is_for_add() {
        for (line, said) in [
            ("http://a/b.txt /x", "source can't be a URL for COPY: http://a/b.txt"),
            ("https://a/b.git /x", "source can't be a git ref for COPY: https://a/b.git"),
        ] {
            assert_eq!(plan(&words("COPY", line)).unwrap_err().message(), said);
        }
    }
}
