//! `ADD source ... destination`: as COPY, but archives of the build context are extracted, and
//! sources may be addresses on the web. A fetched file is readable by its owner only.

use wharf_instructions::lint;
use wharf_instructions::transfer::{self, Transfer};
use wharf_sdk::instruction::{BodyKind, Context, FlagSpec, Invocation, KeywordSpec, Outcome};
use wharf_sdk::{Failure, Instruction, Request, host, refuse};

struct Add;

wharf_sdk::export_instruction!(Add);

impl Instruction for Add {
    fn describe() -> Vec<KeywordSpec> {
        let summary = "copy files into the image; extract archives, fetch addresses";
        let keyword = KeywordSpec::new("ADD", summary, BodyKind::JsonOrWords).expanding().with_heredocs();
        let own = [
            FlagSpec::value(
                "checksum",
                "what the fetched file must hash to, sha256:..., or the commit of a repository",
            )
            .expanding(),
            FlagSpec::switch("keep-git-dir", "keep the .git directory of a repository"),
            FlagSpec::switch("unpack", "extract archives; by default those of the build context only"),
        ];
        vec![own.into_iter().chain(transfer::flags()).fold(keyword, KeywordSpec::flag)]
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:copy", "copies files into the image"),
            Request::new("ops:write", "writes here-documents into the image"),
            Request::new("ops:http", "fetches the addresses that are written in the Dockerfile"),
            Request::new("ops:git", "fetches the repositories that are written in the Dockerfile"),
        ]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let mut transfer = Transfer::read(call)?;
        let git = transfer.sources.iter().any(|source| transfer::is_git(source));
        let is_given = call.flags.iter().any(|(name, _)| name == "keep-git-dir");
        let keep_git_dir = call.switch("keep-git-dir", false)?;
        transfer.keep_git_dir = is_given.then_some(keep_git_dir);
        if keep_git_dir && !git {
            let message = "--keep-git-dir is for git repositories, and none of the sources is one";
            host::report(&lint::warn("KeepGitDirWithoutGit", message));
        }
        let checksum = if git { transfer::commit } else { checksum };
        transfer.checksum = call.flag("checksum").map(checksum).transpose()?;
        transfer.unpack_files = call.switch("unpack", true)?;
        transfer.unpack_remote = call.switch("unpack", false)?;
        transfer.plan()
    }
}

/// `sha256:` and 64 hex digits.
fn checksum(text: &str) -> Result<String, Failure> {
    let hex = text.strip_prefix("sha256:");
    let whole = hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if whole {
        Ok(text.to_lowercase())
    } else {
        Err(refuse(format!("`{text}` is not a checksum"))
            .help("write `--checksum=sha256:` and 64 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::instruction::{Action, GitSource, Input, Plan};
    use wharf_sdk::testing::{Stage, words};

    fn plan(call: &Invocation) -> Result<Plan, Failure> {
        match Add::plan(call, &Stage::default())? {
            Outcome::Plan(plan) => Ok(plan),
            other => panic!("not a plan: {other:?}"),
        }
    }

    fn unpacks(call: &Invocation) -> bool {
        match plan(call).unwrap().ops.pop().map(|op| op.action) {
            Some(Action::Copy(copy)) => copy.unpack,
            other => panic!("not a copy: {other:?}"),
        }
    }

    #[test]
    fn archives_of_the_context_are_extracted() {
        assert!(unpacks(&words("ADD", "code.tar /root")));
        assert!(!unpacks(&words("ADD", "code.tar /root").with_flag("unpack", "false")));
        assert!(!unpacks(&words("ADD", "http://a/code.tar /root")));
        assert!(unpacks(&words("ADD", "http://a/code.tar /root").with_switch("unpack")));
    }

    #[test]
    fn checksums_are_for_one_fetched_file() {
        let sum = format!("sha256:{}", "ab".repeat(32));
        let add = |line: &str, sum: &str| plan(&words("ADD", line).with_flag("checksum", sum));
        assert!(add("http://a/b /x", &sum).is_ok());
        for (line, sum, said) in [
            ("b /x", &*sum, "checksum can't be specified for non-HTTP(S) sources"),
            ("http://a/b http://a/c /x/", &*sum, "checksum can't be specified for multiple sources"),
            ("http://a/b /x", "sha256:12", "`sha256:12` is not a checksum"),
        ] {
            assert_eq!(add(line, sum).unwrap_err().message(), said);
        }
    }

    #[test]
    fn repositories_are_fetched_and_their_contents_copied() {
        let call = words("ADD", "https://a/b.git#v1:docs /x")
            .with_flag("checksum", "ABCDEF012")
            .with_switch("keep-git-dir");
        let plan = plan(&call).unwrap();
        let source = GitSource {
            url: "https://a/b.git".into(),
            reference: Some("v1".into()),
            checksum: Some("abcdef012".into()),
            keep_git_dir: true,
        };
        assert_eq!(plan.ops[0].action, Action::Git(source));
        let Action::Copy(copy) = &plan.ops[1].action else { panic!("not a copy: {:?}", plan.ops[1]) };
        assert_eq!((copy.paths.as_slice(), &copy.source), (["/docs".to_owned()].as_slice(), &Input::Op(0)));
        for (line, flag, said) in [
            ("https://a/b.git /x", "sha256:12", "`sha256:12` is not a commit"),
            (
                "https://a/b.git?commit=1234567 /x",
                "7654321",
                "https://a/b.git?commit=1234567 and --checksum name different commits",
            ),
        ] {
            let call = words("ADD", line).with_flag("checksum", flag);
            assert_eq!(super::tests::plan(&call).unwrap_err().message(), said);
        }
        assert!(super::tests::plan(&words("ADD", "b /x").with_switch("keep-git-dir")).is_ok());
    }

    #[test]
    fn a_flag_and_an_address_agree_about_what_is_kept() {
        let kept = |query: &str, flag: Option<&str>| {
            let call = words("ADD", &format!("https://a/b.git{query} /x"));
            let call = flag.map_or_else(|| call.clone(), |flag| call.clone().with_flag("keep-git-dir", flag));
            plan(&call).map(|plan| match &plan.ops[0].action {
                Action::Git(source) => source.keep_git_dir,
                other => panic!("not a repository: {other:?}"),
            })
        };
        for (query, flag, expected) in [
            ("", None, Some(false)),
            ("", Some("true"), Some(true)),
            ("?keep-git-dir=1", None, Some(true)),
            ("?keep-git-dir=1", Some("true"), Some(true)),
            ("?keep-git-dir=0", Some("false"), Some(false)),
            ("?keep-git-dir=0", Some("true"), None),
            ("?keep-git-dir=1", Some("false"), None),
        ] {
            assert_eq!(kept(query, flag).ok(), expected, "for {query} and {flag:?}");
        }
        let refused = kept("?keep-git-dir=0", Some("true")).unwrap_err();
        assert_eq!(refused.message(), "inconsistent keep-git-dir configuration");
    }
}
