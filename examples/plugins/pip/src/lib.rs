//! `PIP package==version ...` and `PIP -r requirements.txt`: installs Python packages.
//!
//! ```text
//! PIP [--before=2026-11-01] [--hashes] [--unpinned] [-r requirements.txt] requests==2.32.3
//! ```
//!
//! Downloads and built wheels stay in a cache mount. A requirements file is read while planning, so
//! the step is made again when it changes, and only then.

use wharf_sdk::instruction::{
    BodyKind, CacheMount, CacheSharing, Command, Context, Exec, FlagSpec, Input, Invocation, KeywordSpec,
    Mount, Outcome, Plan, Root,
};
use wharf_sdk::{Failure, FailureKind, Instruction, Request, Settings, host, refuse, setting};

const LONGEST: u64 = 1 << 20;
const CACHE: &str = "/var/cache/wharf-pip";

struct Pip;

wharf_sdk::export_instruction!(Pip);

impl Instruction for Pip {
    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:exec", "runs pip"),
            Request::new("ops:mount-cache", "keeps downloads between builds"),
            Request::new("net:sandbox", "downloads packages"),
            Request::new("read:context", "reads requirements files"),
        ]
    }

    fn describe() -> Vec<KeywordSpec> {
        let keyword = KeywordSpec::new("PIP", "install Python packages", BodyKind::Words).expanding();
        let flags = [
            FlagSpec::value("before", "nothing that was published later: 2026-11-01").expanding(),
            FlagSpec::switch("hashes", "every requirement has to have a --hash"),
            FlagSpec::switch("unpinned", "packages need no version"),
        ];
        vec![flags.into_iter().fold(keyword, KeywordSpec::flag)]
    }

    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        setting::only(settings, &["before", "index", "python", "unpinned"])?;
        setting::text(settings, "before").map(day).transpose().map(drop)
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        plan(call, context, &host::settings()).map(Outcome::from)
    }
}

fn plan(call: &Invocation, context: &dyn Context, settings: &Settings) -> Result<Plan, Failure> {
    let wanted = Requirements::read(call.words(), context)?;
    let before = call.flag("before").or_else(|| setting::text(settings, "before")).map(day).transpose()?;
    let loose = call.switch("unpinned", false)? || setting::text(settings, "unpinned") == Some("allow");
    if !loose {
        wanted.check_pinned()?;
    }
    let mut argv =
        vec!["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--cache-dir", CACHE];
    let python = setting::text(settings, "python").unwrap_or("python3");
    argv.insert(0, python);
    let upload = before.map(|day| format!("--uploaded-prior-to={day}T00:00:00Z"));
    argv.extend(upload.as_deref());
    if let Some(index) = setting::text(settings, "index") {
        argv.extend(["--index-url", index]);
    }
    if call.switch("hashes", false)? {
        argv.push("--require-hashes");
    }
    argv.extend(["--requirement", "/dev/stdin"]);
    let mut plan = Plan::default();
    let script = wanted.script(&argv);
    plan.then(format!("PIP {}", call.words().join(" ")), |base| Exec {
        mounts: vec![cache()],
        env: [
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PIP_ROOT_USER_ACTION", "ignore"),
            ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec(),
        ..Exec::new(base, Command::Argv(vec!["/bin/sh".into(), "-ec".into(), script]))
    });
    Ok(plan)
}

/// One requirement a line, as in a requirements file.
struct Requirements {
    lines: Vec<String>,
}

impl Requirements {
    fn read(words: &[String], context: &dyn Context) -> Result<Self, Failure> {
        let mut lines = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-r" | "--requirement" => {
                    let path = words.next().ok_or_else(|| refuse("PIP -r requires a file"))?;
                    lines.extend(file(path, context)?);
                }
                option if option.starts_with('-') => {
                    return Err(refuse(format!("PIP knows no option {option}"))
                        .help("write -r FILE, or flags before the packages: PIP --hashes -r FILE"));
                }
                package => lines.push(package.to_owned()),
            }
        }
        if lines.is_empty() {
            return Err(refuse("PIP requires at least one package").help("write `PIP requests==2.32.3`"));
        }
        Ok(Self { lines })
    }

    fn check_pinned(&self) -> Result<(), Failure> {
        let pinned = |line: &&String| line.contains("==") || line.contains(" @ ") || line.starts_with('-');
        let loose: Vec<&str> = self.lines.iter().filter(|line| !pinned(line)).map(String::as_str).collect();
        let Some(first) = loose.first() else { return Ok(()) };
        let message = format!("no version for {}: what is installed depends on the day", loose.join(", "));
        Err(refuse(message).help(format!("write `{first}==VERSION`, or say `PIP --unpinned`")))
    }

    /// The requirements reach pip as a here-document: no word of them is read by the shell.
    fn script(&self, argv: &[&str]) -> String {
        let quoted: Vec<String> =
            argv.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        format!(
            "{} <<'WHARF_REQUIREMENTS'\n{}\nWHARF_REQUIREMENTS\n",
            quoted.join(" "),
            self.lines.join("\n")
        )
    }
}

/// The lines of a requirements file, without comments.
fn file(path: &str, context: &dyn Context) -> Result<Vec<String>, Failure> {
    let content = context.read(&Root::Local, path, LONGEST)?.ok_or_else(|| {
        refuse(format!("there is no file {path} in the build context")).kind(FailureKind::NotFound)
    })?;
    let text = String::from_utf8(content).map_err(|_| refuse(format!("{path} is not a text in UTF-8")))?;
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut lines = Vec::new();
    for line in joined.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line == "WHARF_REQUIREMENTS" || line.starts_with("-r") || line.starts_with("-c") {
            return Err(
                refuse(format!("{path}: `{line}` is not supported")).help("name each file in the Dockerfile")
            );
        }
        if !line.is_empty() && !line.starts_with('#') {
            lines.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    Ok(lines)
}

fn day(text: &str) -> Result<&str, Failure> {
    let shape = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    if shape { Ok(text) } else { Err(refuse(format!("`{text}` is not a day")).help("write 2026-11-01")) }
}

fn cache() -> Mount {
    Mount::Cache(CacheMount {
        id: "pip".into(),
        target: CACHE.into(),
        sharing: CacheSharing::Shared,
        read_only: false,
        source: Input::Scratch,
        source_path: String::new(),
        mode: 0o755,
        uid: 0,
        gid: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::Value;
    use wharf_sdk::instruction::Action;
    use wharf_sdk::testing::{Stage, words};

    fn stage(files: &[(&str, &str)]) -> Stage {
        let files = files.iter().map(|(path, text)| ((*path).into(), text.as_bytes().to_vec())).collect();
        Stage { files, ..Stage::default() }
    }

    fn script(call: &Invocation, stage: &Stage, settings: &Settings) -> Result<String, Failure> {
        match plan(call, stage, settings)?.ops.pop().map(|op| op.action) {
            Some(Action::Exec(Exec { command: Command::Argv(argv), .. })) => Ok(argv[2].clone()),
            other => panic!("not a program: {other:?}"),
        }
    }

    #[test]
    fn packages_reach_pip_and_not_the_shell() {
        let script = script(&words("PIP", "six==1.16.0 a==$(x)"), &stage(&[]), &vec![]).unwrap();
        assert!(script.starts_with("'python3' '-m' 'pip' 'install' "), "{script}");
        assert!(
            script.ends_with("<<'WHARF_REQUIREMENTS'\nsix==1.16.0\na==$(x)\nWHARF_REQUIREMENTS\n"),
            "{script}"
        );
    }

    #[test]
    fn a_requirements_file_is_read_while_planning() {
        let file = "# ours\nsix==1.16.0 \\\n    --hash=sha256:ab # why\n\nidna==3.7\n";
        let call = words("PIP", "-r reqs.txt").with_switch("hashes");
        let script = script(&call, &stage(&[("reqs.txt", file)]), &vec![]).unwrap();
        assert!(script.contains("'--require-hashes'"));
        assert!(script.contains("\nsix==1.16.0 --hash=sha256:ab\nidna==3.7\n"), "{script}");
    }

    #[test]
    fn settings_choose_the_index_and_the_day() {
        let text = |text: &str| Value::Text(text.into());
        let settings = vec![
            ("before".into(), text("2026-11-01")),
            ("index".into(), text("https://pypi.example/simple")),
            ("unpinned".into(), text("allow")),
        ];
        let script = script(&words("PIP", "six"), &stage(&[]), &settings).unwrap();
        assert!(script.contains(
            "'--uploaded-prior-to=2026-11-01T00:00:00Z' '--index-url' 'https://pypi.example/simple'"
        ));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let files = stage(&[("nested", "-r other\n"), ("end", "WHARF_REQUIREMENTS\n")]);
        for (line, said) in [
            ("", "PIP requires at least one package"),
            ("six", "no version for six: what is installed depends on the day"),
            ("-r", "PIP -r requires a file"),
            ("-r gone", "there is no file gone in the build context"),
            ("-r nested", "nested: `-r other` is not supported"),
            ("-r end", "end: `WHARF_REQUIREMENTS` is not supported"),
            ("--target=/x six==1", "PIP knows no option --target=/x"),
        ] {
            assert_eq!(
                script(&words("PIP", line), &files, &vec![]).unwrap_err().message(),
                said,
                "for {line}"
            );
        }
        assert_eq!(day("1.11.2026").unwrap_err().message(), "`1.11.2026` is not a day");
    }
}
