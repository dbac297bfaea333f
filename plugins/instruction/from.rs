//! `FROM [--platform=os/arch] image [AS name]`: begins a stage on an image, on an earlier stage or
//! on nothing (`scratch`).

use wharf_instructions::lint;
use wharf_sdk::instruction::{
    BodyKind, Context, FlagSpec, Input, Invocation, KeywordSpec, Outcome, StageStart,
};
use wharf_sdk::{Failure, Instruction, Platform, Request, host, refuse};

struct From;

wharf_sdk::export_instruction!(From);

impl Instruction for From {
    fn describe() -> Vec<KeywordSpec> {
        let platform = FlagSpec::value("platform", "platform of the image: os/arch[/variant]").expanding();
        let keyword =
            KeywordSpec::new("FROM", "begin a stage on an image or an earlier stage", BodyKind::Words);
        vec![keyword.expanding().starting_stage().flag(platform)]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:stage", "begins a stage")]
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        let (base, name) = match call.words() {
            [base] => (base, None),
            [base, word, name] if word.eq_ignore_ascii_case("as") => (base, Some(stage_name(name)?)),
            _ => {
                let help = "write `FROM image` or `FROM image AS name`; an ARG that a FROM uses stands before the first FROM";
                return Err(refuse("FROM requires either one or three arguments").help(help));
            }
        };
        if base.is_empty() {
            let help =
                "an ARG that a FROM uses stands before the first FROM and needs a default or a --build-arg";
            return Err(refuse("base name should not be blank").help(help));
        }
        let base = if base == "scratch" { Input::Scratch } else { Input::Named(base.clone()) };
        let platform = call.flag("platform").map(|text| platform(text, context)).transpose()?;
        Ok(StageStart { base, name, platform }.into())
    }
}

/// Lower case; a letter first, then letters, digits, `-`, `_` and `.`.
fn stage_name(written: &str) -> Result<String, Failure> {
    let name = written.to_lowercase();
    let letter_first = name.starts_with(|letter: char| letter.is_ascii_lowercase());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !letter_first || !name.bytes().all(plain) {
        let message = format!(
            "invalid name for build stage: \"{written}\", name can't start with a number or contain symbols"
        );
        let help = "use letters, digits, `-`, `_` and `.`, a letter first; variables are not expanded in it";
        return Err(refuse(message).help(help));
    }
    if name != written {
        host::report(&lint::warn("StageNameCasing", format!("Stage name '{written}' should be lowercase")));
    }
    if matches!(name.as_str(), "scratch" | "context") {
        let message = format!("Stage name should not use the same name as reserved stage \"{name}\"");
        host::report(&lint::warn("ReservedStageName", message));
    }
    Ok(name)
}

/// Go's names of operating systems, one of which may stand alone.
const SYSTEMS: [&str; 18] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "macos",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// Go's names of processors, one of which may stand alone.
const PROCESSORS: [&str; 23] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc64",
    "wasm",
];

/// Reads `os/arch[/variant]`, or one of both alone, in the words of Go, Debian or uname: the processor one of Linux,
/// the system on the processor that builds.
fn platform(text: &str, context: &dyn Context) -> Result<Platform, Failure> {
    if text.is_empty() {
        let help = "an ARG that it uses stands before the first FROM and needs a default or a --build-arg";
        return Err(refuse("empty platform value").help(help));
    }
    let lower = text.to_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    let here = || context.arg("BUILDARCH").unwrap_or_else(|| context.target_platform().architecture);
    let alone;
    let (os, architecture, variant) = match parts.as_slice() {
        [os] if SYSTEMS.contains(os) => {
            alone = here();
            (*os, alone.as_str(), None)
        }
        [architecture] => ("linux", *architecture, None),
        [os, architecture] => (*os, *architecture, None),
        [os, architecture, variant] => (*os, *architecture, Some(*variant)),
        _ => return Err(wrong_platform(text)),
    };
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    if !parts.iter().all(|part| plain(part)) {
        return Err(wrong_platform(text));
    }
    let (architecture, implied) = processor(architecture);
    if parts.len() == 1 && !PROCESSORS.contains(&architecture.as_str()) {
        let message = format!("\"{text}\": unknown operating system or architecture");
        return Err(refuse(message).help("write `linux/amd64` or `linux/arm64`"));
    }
    let variant = variant.map(str::to_owned).or(implied).filter(|variant| {
        !matches!((architecture.as_str(), variant.as_str()), ("arm64", "v8" | "8") | ("amd64", "v1"))
    });
    let os = if os == "macos" { "darwin" } else { os };
    Ok(Platform { os: os.into(), architecture, variant })
}

/// Go's name of a processor and the variant that its other name implies.
fn processor(name: &str) -> (String, Option<String>) {
    let (name, variant) = match name {
        "x86_64" | "x86-64" => ("amd64", None),
        "i386" | "i686" => ("386", None),
        "aarch64" => ("arm64", None),
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v6")),
        other => (other, None),
    };
    (name.to_owned(), variant.map(Into::into))
}

fn wrong_platform(text: &str) -> Failure {
    refuse(format!("\"{text}\" is not a platform")).help("write `linux/amd64` or `linux/arm64`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::{Stage, words};

    fn start(line: &str) -> Result<StageStart, Failure> {
        match From::plan(&words("FROM", line), &Stage::default())? {
            Outcome::Stage(start) => Ok(start),
            other => panic!("not a stage: {other:?}"),
        }
    }

    #[test]
    fn a_stage_has_a_base_and_perhaps_a_name() {
        let named = |base: &str, name: Option<&str>| StageStart {
            base: Input::Named(base.into()),
            name: name.map(Into::into),
            platform: None,
        };
        for (line, expected) in [
            ("python:3.6", named("python:3.6", None)),
            ("golang AS Build", named("golang", Some("build"))),
            ("build as b.1-x_y", named("build", Some("b.1-x_y"))),
            ("scratch", StageStart { base: Input::Scratch, name: None, platform: None }),
        ] {
            assert_eq!(start(line), Ok(expected), "for {line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_docker_does() {
        for (line, said) in [
            ("", "FROM requires either one or three arguments"),
            ("a b", "FROM requires either one or three arguments"),
            ("a IS b", "FROM requires either one or three arguments"),
            (
                "a AS 1b",
                "invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
            ),
            (
                "a AS b$",
                "invalid name for build stage: \"b$\", name can't start with a number or contain symbols",
            ),
        ] {
            assert_eq!(start(line).unwrap_err().message(), said, "for {line:?}");
        }
    }

    #[test]
    fn platforms_have_one_spelling() {
        let here = Stage { args: [("BUILDARCH".into(), "riscv64".into())].into(), ..Stage::default() };
        let on = |os: &str, architecture: &str, variant: Option<&str>| Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.map(Into::into),
        };
        for (text, expected) in [
            ("linux/amd64", Some(on("linux", "amd64", None))),
            ("linux/arm64/v8", Some(on("linux", "arm64", None))),
            ("linux/arm/v7", Some(on("linux", "arm", Some("v7")))),
            ("Linux/x86_64", Some(on("linux", "amd64", None))),
            ("arm64", Some(on("linux", "arm64", None))),
            ("linux", Some(on("linux", "riscv64", None))),
            ("macOS", Some(on("darwin", "riscv64", None))),
            ("aarch64", Some(on("linux", "arm64", None))),
            ("linx", None),
            ("amd46", None),
            ("linux/", None),
            ("a/b/c/d", None),
            ("linux/$ARCH", None),
        ] {
            assert_eq!(platform(text, &here).ok(), expected, "for {text}");
        }
    }
}
