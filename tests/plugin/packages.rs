//! `APT` and `PIP`, two of the examples: packages through cache mounts, pinned.
//!
//! What really installs needs the registries: where a program of a build can not reach them, the test
//! says so and ends.

use crate::harness::{Sandbox, configured};

const GRANTS: &str =
    "grants = { ops = [\"exec\", \"mount-cache\"], net = [\"sandbox\"], read = [\"context\"] }";

/// Whether a program of a build reaches `host`; the names are those of the host.
fn reaches(box_: &Sandbox, host: &str, port: u16) -> bool {
    let script = format!(
        "import socket; socket.create_connection((\"{host}\", {port}), timeout=5).close(); print(\"open\")"
    );
    let run = box_.wharf(["run", "--rm", "python:3.6", "python3", "-c", &script]);
    let open = run.stdout == "open\n";
    if !open {
        eprintln!("skipped: a container can not reach {host}:{port}\n{run}");
    }
    open
}

#[test]
fn apt_installs_what_is_pinned_and_keeps_downloads_out_of_the_image() {
    let box_ = Sandbox::with_python().with_example("", "apt", "instruction", GRANTS);
    box_.write("Dockerfile", "FROM python:3.6\nAPT hello\n");
    let build = ["build", "-t", "a", "."];
    box_.refuses(1, &build, &["Dockerfile:2", "no version for hello", "hello=VERSION"]);
    box_.write("Dockerfile", "FROM python:3.6\nAPT --snapshot=yesterday hello\n");
    box_.refuses(1, &build, &["Dockerfile:2", "`yesterday` is not a moment"]);
    if !reaches(&box_, "deb.debian.org", 80) {
        return;
    }
    // The image of the tests has no sources of its own.
    box_.write("sources.list", "deb http://deb.debian.org/debian bookworm main\n");
    let dockerfile = "FROM python:3.6\nCOPY sources.list /etc/apt/sources.list\nAPT hello=2.10-3\n";
    box_.build("a", dockerfile);
    assert_eq!(
        box_.in_image("a", "hello; ls /var/cache/apt /var/lib/apt/lists /var/log/apt | grep -c deb; true"),
        "Hello, world!\n0\n"
    );
    assert!(box_.build("a", dockerfile).stderr.matches("CACHED").count() >= 2);
    // The archives are in the cache: another image gets them without the network.
    let other = format!("{dockerfile}LABEL a=1\n").replace("APT hello=2.10-3", "RUN true\nAPT hello=2.10-3");
    box_.build("b", &other);
}

#[test]
fn pip_installs_what_is_pinned_and_reads_requirements() {
    let box_ = Sandbox::with_python().with_example("", "pip", "instruction", GRANTS);
    box_.write("Dockerfile", "FROM python:3.6\nPIP six\n");
    let build = ["build", "-t", "p", "."];
    box_.refuses(1, &build, &["Dockerfile:2", "no version for six", "six==VERSION"]);
    box_.write("Dockerfile", "FROM python:3.6\nPIP -r requirements.txt\n");
    box_.refuses(1, &build, &["Dockerfile:2", "there is no file requirements.txt"]);
    if !reaches(&box_, "pypi.org", 443) {
        return;
    }
    box_.write("requirements.txt", "# pinned\nsix==1.16.0\n");
    box_.write("Dockerfile", "FROM python:3.6\nPIP -r requirements.txt\n");
    let built = box_.run("build -t p .");
    if built.stderr.contains("CERTIFICATE_VERIFY_FAILED") {
        eprintln!("skipped: pypi.org is behind a certificate that the image does not trust\n{built}");
        return;
    }
    built.success();
    assert_eq!(box_.in_image("p", "python3 -c 'import six; print(six.__version__)'"), "1.16.0\n");
    assert!(box_.run("build -t p .").success().stderr.contains("CACHED"));
    box_.write("requirements.txt", "six==1.15.0\n");
    box_.run("build -t p .").success();
    assert_eq!(box_.in_image("p", "python3 -c 'import six; print(six.__version__)'"), "1.15.0\n");
}

/// Both at once, and the plan of each is what `--explain` shows.
#[test]
fn what_the_package_instructions_do_is_explained() {
    let box_ = Sandbox::with_python();
    let both =
        format!("{}{}", configured("apt", "instruction", GRANTS), configured("pip", "instruction", GRANTS));
    box_.config(&both);
    box_.write("Dockerfile", "FROM python:3.6\nRUN true\n");
    box_.run("build -t e --explain .").success();
    box_.config(&both.replace("\"mount-cache\"", "\"config\""));
    box_.write("Dockerfile", "FROM python:3.6\nAPT --unpinned hello\n");
    box_.refuses(1, &["build", "-t", "e", "."], &["Dockerfile:2", "mount-cache", "[plugin.apt]"]);
}
