//! What is there: mounts, links, cgroups, firewall rules, processes, files and names. A test looks
//! before and after, and what has come in between is left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is there, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Traces(BTreeMap<&'static str, BTreeSet<String>>);

impl Traces {
    /// What the kernel shows to everybody.
    pub(super) fn of_kernel() -> Self {
        let mut traces = Self::default();
        traces.add("mount", mounts());
        traces.add("link", names_in(Path::new("/sys/class/net")));
        traces.add("cgroup", cgroups());
        traces.add("rule", rules());
        traces.add("process", processes());
        traces
    }

    pub(super) fn add(&mut self, kind: &'static str, things: impl IntoIterator<Item = String>) {
        self.0.entry(kind).or_default().extend(things);
    }

    /// What is here of one kind and not in `before`.
    pub(super) fn fresh(&self, before: &Self, kind: &str) -> Vec<String> {
        let old = before.0.get(kind).cloned().unwrap_or_default();
        self.0.get(kind).into_iter().flatten().filter(|thing| !old.contains(*thing)).cloned().collect()
    }

    /// A line for each thing that has come, and for each file or name that has gone. What others
    /// take away in the kernel meanwhile is their business.
    pub(super) fn changes(&self, before: &Self) -> String {
        let mut lines = String::new();
        for (sign, one, other) in [('+', self, before), ('-', before, self)] {
            let ours = |kind: &&&str| sign == '+' || kind.contains("file") || kind.contains("name");
            for kind in one.0.keys().filter(ours) {
                for thing in one.fresh(other, kind) {
                    lines += &format!("{sign} {kind} {thing}\n");
                }
            }
        }
        lines
    }
}

/// Looks until nothing has changed; the kernel takes a namespace's links away a little later.
#[track_caller]
pub(super) fn expect_same(before: &Traces, mut look: impl FnMut() -> Traces) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let changes = look().changes(before);
        if changes.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "left behind:\n{changes}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Everything below a directory, without what is a cache or a lock by design.
pub(super) fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(root, Path::new(""), &mut found);
    let by_design = ["plugins/", "locks/", "digests/", "wharf.db"];
    found.retain(|path| {
        !["containers", "digests"].contains(&path.as_str())
            && !by_design.iter().any(|prefix| path.starts_with(prefix))
    });
    found
}

fn walk(root: &Path, below: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        let path = below.join(entry.file_name());
        found.push(path.to_string_lossy().into_owned());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(root, &path, found);
        }
    }
}

fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // The first words are numbers that the kernel gives anew.
    table.lines().map(|line| line.split(' ').skip(3).collect::<Vec<_>>().join(" ")).collect()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Of containers only: other programs of the machine come and go.
fn cgroups() -> Vec<String> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = names_in(top).into_iter().map(|name| top.join(name));
    let ours = std::iter::once(top.to_owned()).chain(hierarchies).map(|parent| parent.join("wharf"));
    let below = ours.flat_map(|parent| names_in(&parent).into_iter().map(move |name| parent.join(name)));
    let ids = below.filter(|path| {
        path.file_name().is_some_and(|name| name.len() == 64 || name.to_string_lossy().starts_with("build-"))
    });
    ids.map(|path| path.to_string_lossy().into_owned()).collect()
}

fn rules() -> Vec<String> {
    let rules = super::host(&["nft", "--stateless", "list", "ruleset"]);
    let mut table = String::new();
    let mut lines = Vec::new();
    for line in rules.lines().map(str::trim) {
        if line.starts_with("table ") {
            table = line.trim_end_matches(" {").to_owned();
            lines.push(table.clone());
        } else if line.len() > 1 {
            lines.push(format!("{table}: {line}"));
        }
    }
    lines
}

fn processes() -> Vec<String> {
    let numbers = names_in(Path::new("/proc")).into_iter().filter(|name| name.parse::<u32>().is_ok());
    let program = |number: &String| fs::read_link(format!("/proc/{number}/exe")).ok();
    let ours = numbers.filter(|number| {
        program(number).is_some_and(|path| path.to_string_lossy().contains("wharf-monitor"))
    });
    ours.map(|number| format!("wharf-monitor {number}")).collect()
}
