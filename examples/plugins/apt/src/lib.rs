//! `APT package[=version] ...`: installs Debian or Ubuntu packages.
//!
//! ```text
//! APT [--snapshot=20261101T000000Z] [--recommends] [--unpinned] curl=7.88.1-10 ca-certificates
//! ```
//!
//! What is downloaded stays in a cache mount, so neither the lists nor the archives are in the image.
//! With a snapshot, packages come from an archive of that moment: the same line gives the same
//! packages in a year. Without one, every package needs a version, unless the line or the settings
//! say otherwise.

use wharf_sdk::instruction::{
    BodyKind, CacheMount, CacheSharing, Command, Context, Exec, FlagSpec, Input, Invocation, KeywordSpec,
    Mount, Outcome, Plan, TmpfsMount,
};
use wharf_sdk::{Diagnostic, Failure, Instruction, Request, Settings, host, refuse, setting};

/// Where Debian keeps every day since 2005.
const ARCHIVE: &str = "http://snapshot.debian.org/archive/debian";
const SETTINGS: [&str; 3] = ["snapshot", "archive", "unpinned"];

struct Apt;

wharf_sdk::export_instruction!(Apt);

impl Instruction for Apt {
    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:exec", "runs apt-get"),
            Request::new("ops:mount-cache", "keeps downloads between builds"),
            Request::new("net:sandbox", "downloads packages"),
        ]
    }

    fn describe() -> Vec<KeywordSpec> {
        let keyword =
            KeywordSpec::new("APT", "install Debian or Ubuntu packages", BodyKind::Words).expanding();
        let flags = [
            FlagSpec::value("snapshot", "the archive of this moment: 20261101T000000Z").expanding(),
            FlagSpec::switch("recommends", "also what the packages recommend"),
            FlagSpec::switch("unpinned", "packages need no version"),
        ];
        vec![flags.into_iter().fold(keyword, KeywordSpec::flag)]
    }

    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        setting::only(settings, &SETTINGS)?;
        setting::text(settings, "snapshot").map(moment).transpose().map(drop)
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        plan(call, &host::settings()).map(Outcome::from)
    }
}

fn plan(call: &Invocation, settings: &Settings) -> Result<Plan, Failure> {
    let packages = packages(call)?;
    let snapshot = call.flag("snapshot").or_else(|| setting::text(settings, "snapshot"));
    let snapshot = snapshot.map(moment).transpose()?;
    let mut plan = Plan::default();
    if snapshot.is_none() && !call.switch("unpinned", false)? {
        plan.diagnostics.extend(check_pinned(&packages, settings)?);
    }
    let script = script(&Wanted {
        packages: &packages,
        source: snapshot.map(|moment| {
            format!(
                "{}/{moment}",
                setting::text(settings, "archive").unwrap_or(ARCHIVE).trim_end_matches('/')
            )
        }),
        recommends: call.switch("recommends", false)?,
    });
    let mounts = mounts(snapshot);
    plan.then(format!("APT {}", packages.join(" ")), |base| Exec {
        mounts,
        env: vec![("DEBIAN_FRONTEND".into(), "noninteractive".into())],
        user: Some("0".into()),
        cwd: Some("/".into()),
        ..Exec::new(base, Command::Argv(vec!["/bin/sh".into(), "-ec".into(), script]))
    });
    Ok(plan)
}

/// Names and versions in the words of Debian's policy, sorted, so that their order in the file does
/// not change what is built.
fn packages(call: &Invocation) -> Result<Vec<String>, Failure> {
    let mut packages = call.words().to_vec();
    if packages.is_empty() {
        return Err(refuse("APT requires at least one package").help("write `APT curl=7.88.1-10`"));
    }
    let word = |text: &str, also: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || also.contains(letter))
    };
    for package in &packages {
        let (name, version) = package.split_once('=').unwrap_or((package, "0"));
        if !word(name, "+-.:") || !word(version, "+-.:~*") {
            return Err(refuse(format!("`{package}` is not a package")).help("write name or name=version"));
        }
    }
    packages.sort_unstable();
    packages.dedup();
    Ok(packages)
}

fn moment(text: &str) -> Result<&str, Failure> {
    let shape = text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    if shape {
        Ok(text)
    } else {
        Err(refuse(format!("`{text}` is not a moment")).help("write 20261101T000000Z"))
    }
}

fn check_pinned(packages: &[String], settings: &Settings) -> Result<Option<Diagnostic>, Failure> {
    let loose: Vec<&str> = packages.iter().filter(|it| !it.contains('=')).map(String::as_str).collect();
    if loose.is_empty() {
        return Ok(None);
    }
    let message = format!("no version for {}: what is installed depends on the day", loose.join(", "));
    match setting::text(settings, "unpinned") {
        Some("allow") => Ok(None),
        Some("warn") => Ok(Some(Diagnostic::warning("apt/unpinned", message))),
        _ => Err(refuse(message).help(format!("write `{}=VERSION`, or name a snapshot", loose[0]))),
    }
}

/// One cache for each snapshot: apt takes its lists for newer than they are otherwise.
fn mounts(snapshot: Option<&str>) -> Vec<Mount> {
    let kind = snapshot.unwrap_or("newest");
    let cache = |name: &str, target: &str| {
        Mount::Cache(CacheMount {
            id: format!("apt-{name}-{kind}"),
            target: target.into(),
            sharing: CacheSharing::Locked,
            read_only: false,
            source: Input::Scratch,
            source_path: String::new(),
            mode: 0o755,
            uid: 0,
            gid: 0,
        })
    };
    vec![
        cache("archives", "/var/cache/apt"),
        cache("lists", "/var/lib/apt/lists"),
        Mount::Tmpfs(TmpfsMount { target: "/tmp".into(), size: None }),
    ]
}

struct Wanted<'a> {
    packages: &'a [String],
    source: Option<String>,
    recommends: bool,
}

/// The log files that dpkg leaves hold the time of day.
fn script(wanted: &Wanted<'_>) -> String {
    let mut lines = vec!["mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial".to_owned()];
    let mut options = String::from("-qq -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0");
    if let Some(source) = &wanted.source {
        lines.push(". /etc/os-release".into());
        lines.push(format!(
            "echo \"deb [check-valid-until=no] {source} $VERSION_CODENAME main\" >/tmp/wharf.list"
        ));
        options.push_str(" -o Dir::Etc::SourceList=/tmp/wharf.list -o Dir::Etc::SourceParts=-");
    }
    if !wanted.recommends {
        options.push_str(" --no-install-recommends");
    }
    lines.push(format!("apt-get {options} update"));
    lines.push(format!("apt-get {options} -y install {}", wanted.packages.join(" ")));
    lines.push("rm -f /var/log/apt/*.log /var/log/dpkg.log /var/log/alternatives.log".into());
    lines.push("rm -f /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old /var/cache/debconf/*-old".into());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::Value;
    use wharf_sdk::instruction::Action;
    use wharf_sdk::testing::words;

    fn exec(plan: &Plan) -> (&Exec, &str) {
        match &plan.ops[0].action {
            Action::Exec(exec) => match &exec.command {
                Command::Argv(argv) => (exec, argv[2].as_str()),
                other => panic!("not a program: {other:?}"),
            },
            other => panic!("not a command: {other:?}"),
        }
    }

    fn settings(key: &str, value: &str) -> Settings {
        vec![(key.into(), Value::Text(value.into()))]
    }

    #[test]
    fn packages_are_installed_in_one_order_through_caches() {
        let one = plan(&words("APT", "tree=2.1.0-1 curl=7.88*"), &vec![]).unwrap();
        assert_eq!(one, plan(&words("APT", "curl=7.88* tree=2.1.0-1 curl=7.88*"), &vec![]).unwrap());
        let (exec, script) = exec(&one);
        assert!(script.contains("--no-install-recommends -y install curl=7.88* tree=2.1.0-1"), "{script}");
        assert!(!script.contains("SourceList"));
        let caches: Vec<&str> = exec
            .mounts
            .iter()
            .filter_map(|mount| match mount {
                Mount::Cache(cache) => Some(cache.id.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(caches, ["apt-archives-newest", "apt-lists-newest"]);
    }

    #[test]
    fn a_snapshot_is_an_archive_of_its_own() {
        let day = "20261101T000000Z";
        let call = words("APT", "curl").with_flag("snapshot", day);
        let plans = [plan(&call, &vec![]), plan(&words("APT", "curl"), &settings("snapshot", day))];
        for plan in plans.map(Result::unwrap) {
            let (exec, script) = exec(&plan);
            assert!(script.contains(&format!("{ARCHIVE}/{day} $VERSION_CODENAME main")), "{script}");
            assert!(matches!(&exec.mounts[0], Mount::Cache(cache) if cache.id.ends_with(day)));
        }
        let mirror = plan(&call, &settings("archive", "https://mirror.example/debian/")).unwrap();
        assert!(exec(&mirror).1.contains("https://mirror.example/debian/20261101T000000Z"));
    }

    #[test]
    fn a_package_without_a_version_is_refused_unless_allowed() {
        let call = words("APT", "curl=1 tree jq");
        let refused = plan(&call, &vec![]).unwrap_err();
        assert_eq!(refused.message(), "no version for jq, tree: what is installed depends on the day");
        assert_eq!(plan(&call, &settings("unpinned", "warn")).unwrap().diagnostics.len(), 1);
        assert!(plan(&call, &settings("unpinned", "allow")).unwrap().diagnostics.is_empty());
        assert!(plan(&call.with_switch("unpinned"), &vec![]).is_ok());
    }

    #[test]
    fn what_is_no_package_never_reaches_the_shell() {
        for word in ["-o=x", "a;b", "$(x)", "a=`x`", "a=", "=1", "a/b"] {
            let refused = plan(&words("APT", word), &settings("unpinned", "allow")).unwrap_err();
            assert_eq!(refused.message(), format!("`{word}` is not a package"));
        }
        for day in ["2026-11-01", "20261101T000000", "20261101 000000Z"] {
            let refused = Apt::validate_settings(&settings("snapshot", day)).unwrap_err();
            assert_eq!(refused.message(), format!("`{day}` is not a moment"));
        }
        assert!(Apt::validate_settings(&settings("mirror", "x")).is_err());
    }
}
