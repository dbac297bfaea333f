//! Real programs in real containers, asked what they see.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use oci_spec::runtime::{LinuxResources, Mount, Process, Spec};
use serde_json::json;

use super::*;
use crate::{caps, defaults, seccomp};

const BUSYBOX: &str = "/bin/busybox";

/// A container made of busybox, with the default mounts, masks, capabilities and filter.
struct Box_ {
    dir: tempfile::TempDir,
    spec: Spec,
    cgroup: Cgroup,
}

impl Box_ {
    /// `None`, with the reason printed, where this cannot be tried.
    fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        if !Path::new(BUSYBOX).exists() {
            eprintln!("skipped: needs {BUSYBOX} (package busybox-static)");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir(root.join("tmp")).unwrap();
        fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
        for applet in ["sh", "true", "cat", "ls", "id", "hostname", "grep", "sleep", "mount", "stat", "tty"] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let name = format!("wharf-unit-{}/p{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut resources = LinuxResources::default();
        resources.set_devices(Some(defaults::devices()));
        let cgroup = Cgroup::create(&name, &resources).unwrap();
        Some(Self { dir, spec: spec(), cgroup })
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn mounts(&self) -> Vec<RootMount> {
        vec![RootMount::Bind { source: self.root(), read_only: false }]
    }

    fn add_mount(&mut self, mount: serde_json::Value) {
        let mut mounts = self.spec.mounts().clone().unwrap();
        mounts.push(serde_json::from_value::<Mount>(mount).unwrap());
        self.spec.set_mounts(Some(mounts));
    }

    fn process(&mut self) -> &mut Process {
        self.spec.process_mut().as_mut().unwrap()
    }

    fn run(&mut self, args: &[&str]) -> Ran {
        self.process().set_args(Some(args.iter().map(|word| (*word).to_owned()).collect()));
        let (io, output) = streams();
        let child = spawn(&self.spec, &self.mounts(), io, Given::default(), &self.cgroup).unwrap();
        let running = child.start().unwrap();
        Ran { output: read(output), code: wait(&running) }
    }

    /// What the shell prints.
    fn shell(&mut self, script: &str) -> String {
        let ran = self.run(&["/bin/sh", "-c", script]);
        assert_eq!(ran.code, 0, "{script}: {}", ran.output);
        ran.output
    }

    fn spawn_error(&mut self) -> SpawnError {
        let (io, _) = streams();
        spawn(&self.spec, &self.mounts(), io, Given::default(), &self.cgroup).map(drop).unwrap_err()
    }
}

impl Drop for Box_ {
    fn drop(&mut self) {
        self.cgroup.kill().unwrap();
        self.cgroup.remove().unwrap();
    }
}

struct Ran {
    output: String,
    code: i32,
}

fn spec() -> Spec {
    let mut spec: Spec = serde_json::from_value(json!({
        "ociVersion": "1.2.0",
        "hostname": "boxed",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/",
            "env": ["PATH=/bin:/nowhere"],
        },
        "linux": {},
    }))
    .unwrap();
    spec.set_mounts(Some(defaults::mounts()));
    let capabilities = caps::linux(&caps::DEFAULT, 0);
    let profile = seccomp::default_profile(capabilities.bounding().as_ref().unwrap());
    let process = spec.process_mut().as_mut().unwrap();
    process.set_capabilities(Some(capabilities)).set_rlimits(Some(defaults::rlimits()));
    let linux = spec.linux_mut().as_mut().unwrap();
    linux
        .set_namespaces(Some(defaults::namespaces()))
        .set_masked_paths(Some(defaults::masked_paths()))
        .set_readonly_paths(Some(defaults::readonly_paths()))
        .set_sysctl(Some(defaults::sysctl().into_iter().collect::<HashMap<_, _>>()))
        .set_seccomp(Some(profile));
    spec
}

/// Nothing to read, and one pipe for both outputs.
fn streams() -> (Stdio, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let stderr = writer.try_clone().unwrap();
    (Stdio::Pipes { stdin: File::open("/dev/null").unwrap().into(), stdout: writer, stderr }, reader)
}

fn read(fd: OwnedFd) -> String {
    let mut text = Vec::new();
    // A terminal whose last user is gone answers EIO.
    let _ = File::from(fd).read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

fn wait(running: &Running) -> i32 {
    let status = rustix::process::waitid(WaitId::PidFd(running.pidfd.as_fd()), WaitIdOptions::EXITED);
    let status = status.unwrap().unwrap();
    status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap())
}

#[test]
fn privileged_a_container_sees_its_own_namespaces_only() {
    let Some(mut it) = Box_::new() else { return };
    let output =
        it.shell("echo $$; hostname; ls /proc | grep -c '^[0-9]'; ls /sys/class/net; cat /proc/self/cgroup");
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..2], ["1", "boxed"]);
    assert!(lines[2].parse::<u32>().unwrap() <= 4, "{output}");
    assert_eq!(lines[3], "lo");
    assert!(lines[4..].iter().all(|line| !line.contains("wharf")), "{output}");
    let host = fs::read_link("/proc/self/ns/time").unwrap();
    assert!(!it.shell("ls -l /proc/self/ns/time").contains(host.to_str().unwrap()));
}

/// Also after the change of the user, which takes such a wish back.
#[test]
fn privileged_a_container_dies_with_the_thread_that_watches_it() {
    for uid in [0, 1234] {
        let Some(mut it) = Box_::new() else { return };
        it.process().set_args(Some(vec!["/bin/sleep".to_owned(), "100".to_owned()]));
        let mut user = it.process().user().clone();
        user.set_uid(uid);
        it.process().set_user(user);
        let watch = || {
            let (io, _) = streams();
            spawn(&it.spec, &it.mounts(), io, Given::default(), &it.cgroup).unwrap().start().unwrap()
        };
        let running = std::thread::scope(|scope| scope.spawn(watch).join().unwrap());
        assert_eq!(wait(&running), 128 + 9, "for uid {uid}");
    }
}

#[test]
fn privileged_privileges_are_docker_s() {
    let Some(mut it) = Box_::new() else { return };
    let status = it.shell("cat /proc/self/status");
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t00000000a80425fb",
        "CapEff:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t0",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
}

#[test]
fn privileged_another_user_has_a_bounding_set_only() {
    let Some(mut it) = Box_::new() else { return };
    let capabilities = caps::linux(&caps::DEFAULT, 1000);
    it.process().set_capabilities(Some(capabilities)).set_no_new_privileges(Some(true));
    it.process()
        .user_mut()
        .set_uid(1000)
        .set_gid(7)
        .set_additional_gids(Some(vec![8, 9]))
        .set_umask(Some(0o27));
    let output = it.shell("id -u; id -g; id -G; umask; cat /proc/self/status; echo again > /dev/stdout");
    assert!(output.starts_with("1000\n7\n7 8 9\n0027\n"), "{output}");
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t00000000a80425fb",
        "NoNewPrivs:\t1",
    ] {
        assert!(output.contains(line), "{line} is not in {output}");
    }
    assert!(output.ends_with("again\n"), "{output}");
}

#[test]
fn privileged_only_three_descriptors_and_default_signals() {
    let Some(mut it) = Box_::new() else { return };
    let leak = File::open("/etc").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let output = it.run(&["/bin/ls", "/proc/1/fd"]).output;
    // The fourth is the directory that `ls` lists.
    assert_eq!(output.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let status = it.run(&["cat", "/proc/self/status"]).output;
    assert!(
        status.contains("SigIgn:\t0000000000000000") && status.contains("SigBlk:\t0000000000000000"),
        "{status}"
    );
}

#[test]
fn privileged_mounts_masks_and_devices() {
    let Some(mut it) = Box_::new() else { return };
    let mounts = it.shell("cat /proc/self/mounts");
    for (path, with) in [
        ("/proc", "proc rw,nosuid,nodev,noexec"),
        ("/dev", "tmpfs rw,nosuid,size=65536k,mode=755"),
        ("/dev/pts", "devpts rw,nosuid,noexec"),
        ("/sys", "sysfs ro,nosuid,nodev,noexec"),
        ("/dev/mqueue", "mqueue rw,nosuid,nodev,noexec"),
        ("/dev/shm", "tmpfs rw,nosuid,nodev,noexec"),
        ("/proc/sys", "proc ro"),
        ("/proc/keys", "tmpfs ro"),
    ] {
        let found = mounts.lines().any(|line| line.contains(&format!(" {path} {with}")));
        assert!(found, "{path} {with} is not in\n{mounts}");
    }
    assert!(!mounts.contains(it.dir.path().to_str().unwrap()), "nothing of the host: {mounts}");
    assert_eq!(it.shell("cat /proc/keys /proc/timer_list; ls /sys/firmware"), "");
    let script = "cd /dev && ls && stat -c '%t:%T %a' null tty && ls -l ptmx fd | grep -o '[^ ]* -> .*' && cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let output = it.shell(script).replace("core\n", "");
    let expected = "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n\
                    1:3 666\n5:0 666\nfd -> /proc/self/fd\nptmx -> pts/ptmx\n0\n";
    assert_eq!(output, expected);
    for script in [
        "echo 1 > /proc/sys/kernel/panic",
        "echo > /sys/x",
        "mount -t tmpfs x /tmp",
        "echo > /sys/fs/cgroup/x",
    ] {
        assert_ne!(it.run(&["/bin/sh", "-c", script]).code, 0, "{script}");
    }
}

/// A file in memory, a part of a tree reached through links, and a whole tree.
#[test]
fn privileged_what_is_handed_over_is_seen_and_no_path_leads_to_it() {
    let Some(mut it) = Box_::new() else { return };
    let memory = crate::memory::Memory::new(6).unwrap();
    memory.file("it", b"hidden", crate::memory::Access { mode: 0o440, uid: 3, gid: 4 }).unwrap();
    let tree = it.dir.path().join("tree");
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::write(tree.join("a/file"), "of a tree").unwrap();
    symlink("/a", tree.join("link")).unwrap();
    symlink(it.dir.path(), tree.join("away")).unwrap();
    let visible = || {
        let mount = RootMount::Bind { source: tree.clone(), read_only: false };
        mount::visible(&[mount]).unwrap()
    };
    let mut show = |source: &str, target: &str| {
        it.add_mount(json!({"type": "detached", "source": source, "destination": target, "options": ["ro"]}));
    };
    show("0/it", "/run/secrets/it");
    show("1/link/file", "/file");
    show("2", "/tree");
    let script = "cat /run/secrets/it /file /tree/a/file; stat -c ' %a %u:%g' /run/secrets/it; echo x > /file || echo refused";
    it.process().set_args(Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec()));
    let (io, output) = streams();
    let mounts = [memory.into_mount(), visible(), visible()];
    let given = Given { mounts: &mounts, ..Given::default() };
    let running = spawn(&it.spec, &it.mounts(), io, given, &it.cgroup).unwrap().start().unwrap();
    drop(mounts);
    let output = read(output);
    assert!(output.starts_with("hiddenof a treeof a tree 440 3:4\n"), "{output}");
    assert!(output.ends_with("refused\n"), "{output}");
    assert_eq!(wait(&running), 0);

    for (source, why) in [("0/away", "/away"), ("7", "handed"), ("x", "number")] {
        let Some(mut it) = Box_::new() else { return };
        it.add_mount(json!({"type": "detached", "source": source, "destination": "/m", "options": []}));
        let (io, _) = streams();
        let mounts = [visible()];
        let given = Given { mounts: &mounts, ..Given::default() };
        let error = spawn(&it.spec, &it.mounts(), io, given, &it.cgroup).map(drop).unwrap_err();
        let text = format!("{error} {:?}", std::error::Error::source(&error));
        assert!(text.contains(why), "{source}: {text}");
    }
}

#[test]
fn privileged_the_control_group_is_joined_shown_and_removed() {
    let Some(mut it) = Box_::new() else { return };
    let (reader, stdin) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    it.process().set_args(Some(vec!["cat".to_owned()]));
    let (io, _output) = streams();
    let Stdio::Pipes { stdout, stderr, .. } = io else { panic!("pipes") };
    let io = Stdio::Pipes { stdin: reader, stdout, stderr };
    let child = spawn(&it.spec, &it.mounts(), io, Given::default(), &it.cgroup).unwrap();
    assert_eq!(it.cgroup.pids().unwrap(), [child.pid()]);
    assert!(state::same_process(child.pid(), child.start_time()));
    let running = child.start().unwrap();
    it.cgroup.kill().unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(wait(&running), 137);
    drop(stdin);
    assert!(!it.shell("ls /sys/fs/cgroup").is_empty());
}

/// Tests have several threads, monitors have one: then the child is made in its v2 group.
#[test]
fn privileged_a_process_with_one_thread_joins_the_same_groups() {
    use crate::sys::process::{Fork, exit, fork};
    let Some(it) = Box_::new() else { return };
    let Fork::Parent(pid) = fork().unwrap() else {
        let (io, _output) = streams();
        let child = spawn(&it.spec, &it.mounts(), io, Given::default(), &it.cgroup);
        let groups = child.map(|child| fs::read_to_string(format!("/proc/{}/cgroup", child.pid())));
        let all = |groups: &str| {
            let own = groups.lines().filter(|line| line.contains("/wharf-unit-")).count();
            own == it.cgroup.trees().filter(|(_, group)| group.is_some()).count()
        };
        exit(i32::from(!matches!(groups, Ok(Ok(groups)) if all(&groups))));
    };
    let pid = Pid::from_raw(pid).unwrap();
    let (_, status) =
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0));
}

#[test]
fn privileged_programs_that_cannot_be_executed() {
    let Some(mut it) = Box_::new() else { return };
    fs::write(it.root().join("bin/data"), "just text\n").unwrap();
    fs::write(it.root().join("bin/windows"), "#!/bin/sh\r\ntrue\n").unwrap();
    fs::write(it.root().join("bin/text"), "just text\n").unwrap();
    for name in ["data", "windows"] {
        let path = it.root().join("bin").join(name);
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for (program, code) in [
        ("nosuch", 127),
        ("/bin/nosuch", 127),
        ("", 127),
        ("/etc", 126),
        ("/bin/text", 126),
        ("text", 126),
        ("data", 126),
        ("windows", 127),
    ] {
        it.process().set_args(Some(vec![program.to_owned()]));
        let (io, _) = streams();
        let child = spawn(&it.spec, &it.mounts(), io, Given::default(), &it.cgroup).unwrap();
        let err = child.start().map(|_| ()).unwrap_err();
        assert_eq!(err.exit_code(), code, "for {program:?}: {err:?}");
    }
    assert!(it.cgroup.pids().unwrap().is_empty(), "nobody is left");
}

#[test]
fn privileged_links_of_the_image_lead_nowhere_else() {
    let Some(mut it) = Box_::new() else { return };
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("canary"), "host").unwrap();
    fs::create_dir(it.root().join("data")).unwrap();
    symlink(host.path(), it.root().join("escape")).unwrap();
    symlink("../../../../../../../data", it.root().join("up")).unwrap();
    let source = host.path().to_str().unwrap().to_owned();
    it.add_mount(
        json!({"destination": "/up/new/deep", "type": "bind", "source": source, "options": ["rbind", "ro"]}),
    );
    assert_eq!(it.shell("cat /data/new/deep/canary"), "host");
    assert_ne!(it.run(&["/bin/sh", "-c", "echo > /data/new/deep/x"]).code, 0, "read-only");
    it.add_mount(
        json!({"destination": "/escape/new", "type": "bind", "source": source, "options": ["rbind"]}),
    );
    let err = it.spawn_error();
    assert!(err.to_string().contains("/escape/new"), "{err}");
    assert_eq!(fs::read_dir(host.path()).unwrap().count(), 1, "the host's directory is as it was");
}

#[test]
fn privileged_mounts_that_are_refused() {
    for (mount, code, text) in [
        (json!({"destination": "/", "type": "tmpfs"}), 125, "root of the container"),
        (json!({"destination": "/proc/self", "type": "tmpfs"}), 125, "in the container's /proc"),
        (
            json!({"destination": "/etc", "type": "bind", "source": "/bin/busybox"}),
            127,
            "directory onto a file",
        ),
        (json!({"destination": "/x", "type": "bind", "source": "/no/such"}), 125, "/no/such"),
        (json!({"destination": "/x", "type": "tmpfs", "options": ["nonsense"]}), 125, "nonsense"),
    ] {
        let Some(mut it) = Box_::new() else { return };
        it.add_mount(mount.clone());
        let err = it.spawn_error();
        let cause = std::error::Error::source(&err).map(ToString::to_string).unwrap_or_default();
        assert_eq!(err.exit_code(), code, "for {mount}: {err}");
        assert!(format!("{err}: {cause}").contains(text), "for {mount}: {err}: {cause}");
    }
}

#[test]
fn privileged_proc_is_not_mounted_through_a_link() {
    let Some(mut it) = Box_::new() else { return };
    symlink("etc", it.root().join("proc")).unwrap();
    let err = it.spawn_error();
    assert!(err.to_string().contains("/proc"), "{err}");
}

#[test]
fn privileged_the_working_directory_is_made_and_inside() {
    let Some(mut it) = Box_::new() else { return };
    it.process().set_cwd("/not/yet".into());
    assert_eq!(it.shell("pwd"), "/not/yet\n");
    it.process().set_cwd("/proc/self/fd/7".into());
    it.spawn_error();
}

#[test]
fn privileged_a_read_only_root_has_writable_shared_memory() {
    let Some(mut it) = Box_::new() else { return };
    let mut root = oci_spec::runtime::Root::default();
    root.set_readonly(Some(true));
    it.spec.set_root(Some(root));
    it.shell("echo x > /dev/shm/x");
    assert_ne!(it.run(&["/bin/sh", "-c", "echo x > /x"]).code, 0);
}

#[test]
fn privileged_a_terminal_is_the_container_s_own() {
    let Some(mut it) = Box_::new() else { return };
    let args = ["sh", "-c", "tty; stat -c %t /dev/console; stty size; echo $$ >/dev/tty"].map(str::to_owned);
    let size = serde_json::from_value(json!({"height": 11, "width": 22})).unwrap();
    it.process().set_args(Some(args.to_vec())).set_console_size(Some(size));
    symlink("busybox", it.root().join("bin/stty")).unwrap();
    let mut child = spawn(&it.spec, &it.mounts(), Stdio::Terminal, Given::default(), &it.cgroup).unwrap();
    let master = child.take_terminal().unwrap();
    let running = child.start().unwrap();
    assert_eq!(wait(&running), 0);
    assert_eq!(read(master), "/dev/pts/0\r\n88\r\n11 22\r\n1\r\n");
}

#[test]
fn privileged_entering_a_running_container() {
    let Some(mut it) = Box_::new() else { return };
    it.process().set_args(Some(["sleep", "100"].map(str::to_owned).to_vec()));
    let (io, _first) = streams();
    let first = spawn(&it.spec, &it.mounts(), io, Given::default(), &it.cgroup).unwrap().start().unwrap();
    let mut process = it.process().clone();
    let seccomp = it.spec.linux().as_ref().unwrap().seccomp().clone();
    let enter = |process: &Process, io| enter(first.pidfd.as_fd(), process, io, &it.cgroup, seccomp.as_ref());
    let shell = |script: &str| Some(["sh", "-c", script].map(str::to_owned).to_vec());

    process.set_args(shell("hostname; echo $$; cat /proc/1/cmdline; cat /proc/self/status; ls /"));
    let (io, output) = streams();
    let second = enter(&process, io).unwrap().start().unwrap();
    let output = read(output);
    assert_eq!(wait(&second), 0, "{output}");
    assert!(output.starts_with("boxed\n2\nsleep\x00100\x00"), "{output}");
    for line in ["CapEff:\t00000000a80425fb", "CapInh:\t0000000000000000", "Seccomp:\t2", "\nbin\n"] {
        assert!(output.contains(line), "{line} is not in {output}");
    }

    process.set_args(shell("tty"));
    let mut child = enter(&process, Stdio::Terminal).unwrap();
    let master = child.take_terminal().unwrap();
    assert_eq!(it.cgroup.pids().unwrap().len(), 2);
    assert_eq!(wait(&child.start().unwrap()), 0);
    assert_eq!(read(master), "/dev/pts/0\r\n");

    process.set_args(Some(vec!["nosuch".to_owned()]));
    let (io, _) = streams();
    assert_eq!(enter(&process, io).unwrap().start().unwrap_err().exit_code(), 127);
    it.cgroup.kill().unwrap();
    assert_eq!(wait(&first), 137);
    let (io, _) = streams();
    assert!(enter(&process, io).is_err(), "nobody is there any more");
}

#[test]
fn privileged_limits_that_cannot_be_had_are_said() {
    let Some(mut it) = Box_::new() else { return };
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 17, "hard": 18}]);
    it.process().set_rlimits(Some(serde_json::from_value(limit).unwrap()));
    assert_eq!(it.shell("ulimit -n; ulimit -Hn"), "17\n18\n");
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    it.process().set_rlimits(Some(defaults::rlimits()));
    assert_eq!(it.shell("ulimit -n").trim(), most.min(1024).to_string());
}

#[test]
fn privileged_a_dropped_child_is_gone() {
    let Some(it) = Box_::new() else { return };
    let (io, output) = streams();
    drop(spawn(&it.spec, &it.mounts(), io, Given::default(), &it.cgroup).unwrap());
    assert_eq!(read(output), "");
    assert!(it.cgroup.pids().unwrap().is_empty());
}

#[test]
fn privileged_what_cannot_be_kept_is_refused() {
    for (pointer, value) in [
        ("/process/apparmorProfile", json!("docker-default")),
        ("/process/selinuxLabel", json!("system_u:system_r:container_t:s0")),
        ("/hooks", json!({"prestart": [{"path": "/bin/true"}]})),
        ("/linux/personality", json!({"domain": "LINUX"})),
    ] {
        let Some(mut it) = Box_::new() else { return };
        let mut spec = serde_json::to_value(&it.spec).unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[name] = value;
        it.spec = serde_json::from_value(spec).unwrap();
        assert!(matches!(it.spawn_error(), SpawnError::Unsupported(_)), "for {pointer}");
    }
}

#[test]
fn privileged_the_filter_is_in_force() {
    let Some(mut it) = Box_::new() else { return };
    symlink("busybox", it.root().join("bin/unshare")).unwrap();
    assert_ne!(it.run(&["unshare", "-U", "true"]).code, 0, "no user namespaces");
    it.spec.linux_mut().as_mut().unwrap().set_seccomp(None);
    assert_eq!(it.run(&["unshare", "-U", "true"]).code, 0, "it was the filter");
}

/// Printed, not judged: the machine may be busy.
#[test]
fn privileged_how_long_a_container_takes() {
    let Some(mut it) = Box_::new() else { return };
    it.process().set_args(Some(vec!["/bin/true".to_owned()]));
    let mut times: Vec<_> = (0..40)
        .map(|_| {
            let (io, _) = streams();
            let begin = std::time::Instant::now();
            let running =
                spawn(&it.spec, &it.mounts(), io, Given::default(), &it.cgroup).unwrap().start().unwrap();
            wait(&running);
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    let mut out = std::io::stderr();
    writeln!(out, "a container that does nothing: median {:?}, best {:?}", times[20], times[0]).unwrap();
}
