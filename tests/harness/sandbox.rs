//! A wharf of one's own: root, run root, config and home directory, gone with the test.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Output, Terminal, Traces, busybox, host, python, traces, turn::Turn};

/// The program under test.
pub(crate) fn program() -> PathBuf {
    let built = || super::repository().join("target/release/wharf");
    let program = std::env::var_os("WHARF").map_or_else(built, PathBuf::from);
    assert!(program.exists(), "{} is not there: run `./dev test`", program.display());
    program
}

/// Where tests work: on the file system that the program was built on, as /tmp may be small or unfit
/// for overlay.
pub(super) fn workshop() -> PathBuf {
    let directory = program().ancestors().nth(2).unwrap().join("tests");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// One test's wharf.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The build context, and the directory that commands are typed in.
    work: TempDir,
    /// Short, because it holds sockets.
    run_root: TempDir,
    root: PathBuf,
    /// What the kernel showed when its turn began.
    before: Option<Traces>,
    /// Ends last.
    _turn: Option<Turn>,
    /// Further variables.
    env: RefCell<Vec<(String, String)>>,
}

impl Sandbox {
    /// With the image `busybox`.
    pub(crate) fn new() -> Self {
        let sandbox = Self::empty();
        busybox_template(&sandbox);
        sandbox
    }

    /// With the images `busybox` and `python:3.6`, which is made of distribution packages.
    pub(crate) fn with_python() -> Self {
        let sandbox = Self::empty();
        python::template_of(&sandbox);
        sandbox
    }

    /// Without images.
    pub(crate) fn empty() -> Self {
        let turn = Turn::wait();
        Self::make(Some(turn), Some(Traces::of_kernel()))
    }

    /// Without images, and not in turn yet: until [`Self::begin`], nothing may be done that others see in the kernel.
    /// What takes minutes of a compiler's time is done here.
    pub(crate) fn before_its_turn() -> Self {
        Self::make(None, None)
    }

    /// Waits for its turn; from here on it is as [`Self::new`] makes it.
    pub(crate) fn begin(&mut self) {
        self._turn = Some(Turn::wait());
        self.before = Some(Traces::of_kernel());
        if self.root.exists() {
            fs::remove_dir_all(&self.root).unwrap();
        }
        busybox_template(self);
    }

    /// A second one, without images, for the same test.
    pub(crate) fn beside(&self) -> Self {
        let other = Self::make(None, Some(Traces::of_kernel()));
        let plugins = self.root.join("plugins");
        if plugins.exists() {
            fs::create_dir(&other.root).unwrap();
            host(&["cp", "--archive", plugins.to_str().unwrap(), other.root.to_str().unwrap()]);
        }
        other
    }

    /// Ends, and leaves its turn to another one of the same test.
    pub(crate) fn leave_to(mut self, other: &mut Self) {
        other._turn = self._turn.take();
    }

    fn make(turn: Option<Turn>, before: Option<Traces>) -> Self {
        let work = tempfile::Builder::new().prefix("w").tempdir_in(workshop()).unwrap();
        let run_root = tempfile::Builder::new().prefix("wt-").tempdir_in("/run").unwrap();
        fs::create_dir(work.path().join("home")).unwrap();
        fs::create_dir(work.path().join("dir")).unwrap();
        fs::write(work.path().join("wharf.toml"), "").unwrap();
        let root = work.path().join("root");
        Self { root, work, run_root, before, _turn: turn, env: RefCell::default() }
    }

    /// Types a command.
    pub(crate) fn wharf<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.wharf_with(args, b"")
    }

    /// Types a command and gives it something to read.
    pub(crate) fn wharf_with<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        stdin: &[u8],
    ) -> Output {
        let mut command = self.command(args);
        let typed = typed(&command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        // A program that does not read is no reason to fail.
        let writer = std::thread::spawn(move || drop(input.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Output::new(typed, &output)
    }

    /// Types a line, split at blanks.
    pub(crate) fn run(&self, line: &str) -> Output {
        self.wharf(line.split_whitespace())
    }

    /// Types a command on a terminal.
    pub(crate) fn terminal(&self, line: &str) -> Terminal {
        Terminal::start(&self.command(line.split_whitespace()))
    }

    /// A command that the test starts by itself.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program());
        command.args(args).current_dir(self.dir()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.work.path().join("home"));
        command.env("WHARF_ROOT", &self.root).env("WHARF_RUN_ROOT", self.run_root.path());
        command.env("WHARF_CONFIG", self.work.path().join("wharf.toml"));
        // No test asks a registry but one of its own, which says so.
        command.env("WHARF_PULL", "never");
        command.envs(self.env.borrow().iter().cloned());
        command
    }

    /// Sets a variable for the commands that follow.
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.env.borrow_mut().push((name.to_owned(), value.to_owned()));
    }

    /// The site's config from now on.
    pub(crate) fn config(&self, toml: &str) {
        fs::write(self.work.path().join("wharf.toml"), toml).unwrap();
    }

    /// Where commands are typed.
    pub(crate) fn dir(&self) -> PathBuf {
        self.work.path().join("dir")
    }

    /// The home directory of whoever types.
    pub(crate) fn home(&self) -> PathBuf {
        self.work.path().join("home")
    }

    /// Where images and containers are.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where what does not outlive a reboot is.
    pub(crate) fn run_root(&self) -> &Path {
        self.run_root.path()
    }

    /// Moves the root somewhere else, such as a small file system.
    pub(crate) fn set_root(&mut self, root: PathBuf) {
        host(&["cp", "--archive", self.root.to_str().unwrap(), root.to_str().unwrap()]);
        self.root = root;
    }

    /// A file in the directory where commands are typed; parents are made.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A file that a container or a command wrote.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        let path = self.dir().join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Builds `Dockerfile` text as an image of that name; it has to succeed.
    #[track_caller]
    pub(crate) fn build(&self, name: &str, dockerfile: &str) -> Output {
        self.write("Dockerfile", dockerfile);
        self.run(&format!("build -t {name} .")).success()
    }

    /// What the shell script prints in a new container of an image without a network.
    #[track_caller]
    pub(crate) fn in_image(&self, image: &str, script: &str) -> String {
        let run = ["run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", image, "-c", script];
        self.wharf(run).success().stdout
    }

    /// One value of `inspect`, by a Go template.
    #[track_caller]
    pub(crate) fn inspect(&self, name: &str, template: &str) -> String {
        self.wharf(["inspect", "-f", template, name]).success().stdout.trim_end_matches('\n').to_owned()
    }

    /// Everything that is there: in the kernel, below the roots, and by name.
    pub(crate) fn traces(&self) -> Traces {
        let mut traces = Traces::of_kernel();
        traces.add("file", traces::files(&self.root));
        traces.add("run file", traces::files(self.run_root.path()));
        for list in ["ps -aq --no-trunc", "volume ls -q"] {
            traces.add("name", self.run(list).stdout.lines().map(|name| format!("{list}: {name}")));
        }
        let images = self.wharf(["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
        traces.add("name", images.stdout.lines().map(|name| format!("image: {name}")));
        traces
    }

    /// Nothing has come or gone since then.
    #[track_caller]
    pub(crate) fn left_nothing_since(&self, before: &Traces) {
        traces::expect_same(before, || self.traces());
    }

    /// The command fails with this exit code and these words, and leaves nothing behind.
    #[track_caller]
    pub(crate) fn refuses(&self, code: i32, line: &[&str], words: &[&str]) -> Output {
        let before = self.traces();
        let output = self.wharf(line).fails(code);
        let output = words.iter().fold(output, |output, text| output.says(text));
        self.left_nothing_since(&before);
        output
    }

    /// Keeps the root as a template: `clone_from` makes copies of it.
    pub(super) fn into_template(self, template: &Path) {
        fs::rename(&self.root, template).unwrap();
    }

    /// Hard links for what never changes, copies of the rest.
    pub(super) fn clone_from(&self, template: &Path) {
        let (from, to) = (template.to_str().unwrap(), self.root.to_str().unwrap());
        host(&["cp", "--archive", "--link", from, to]);
        let changing = ["wharf.db", "wharf.db-wal", "wharf.db-shm", "locks", "events"];
        for name in changing.iter().filter(|name| template.join(name).exists()) {
            host(&["rm", "-r", &format!("{to}/{name}")]);
            host(&["cp", "--archive", &format!("{from}/{name}"), to]);
        }
    }

    /// Containers go, and the bridge that they were on: wharf keeps it, as the next container is
    /// going to need it.
    fn clear(&self) {
        let Some(before) = self.before.as_ref().filter(|_| self.root.exists()) else { return };
        let ids = self.run("ps -aq").stdout;
        let gone = self.wharf(["rm", "--force", "--volumes"].into_iter().chain(ids.lines()));
        assert!(ids.is_empty() || gone.status == 0, "cannot clear up\n{gone}");
        let now = Traces::of_kernel();
        for link in now.fresh(before, "link").iter().filter(|link| link.starts_with("wh-")) {
            host(&["ip", "link", "delete", link]);
        }
        for rule in now.fresh(before, "rule") {
            if let ["table", family, name] = rule.split(' ').collect::<Vec<_>>()[..]
                && name.starts_with("wharf-")
            {
                host(&["nft", "delete", "table", family, name]);
            }
        }
        traces::expect_same(before, Traces::of_kernel);
    }
}

/// Every test ends with a look at what is left.
impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.clear()));
        } else {
            self.clear();
        }
    }
}

fn typed(command: &Command) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    let quoted = words.map(|word| if word.contains([' ', '\n', '"']) { format!("'{word}'") } else { word });
    format!("wharf {}", quoted.collect::<Vec<_>>().join(" "))
}

/// A root that only the program under test has written.
pub(super) fn template(name: &str) -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    let binary = fs::metadata(program()).unwrap();
    let key = format!("{:x}-{:x}-{:x}", binary.len(), binary.mtime(), binary.mtime_nsec());
    workshop().join(format!("template-{name}-{key}"))
}

/// Copies the root with `busybox`, which is made once; the plugins are compiled in it.
pub(super) fn busybox_template(sandbox: &Sandbox) {
    let template = template("busybox");
    if !template.exists() {
        forget_old_templates();
        let warm = sandbox.beside();
        import_busybox(&warm);
        warm_up(&warm);
        let fresh = warm.beside();
        import_busybox(&fresh);
        fresh.into_template(&template);
    }
    sandbox.clone_from(&template);
}

fn import_busybox(sandbox: &Sandbox) {
    let command = ["import", "--change", "CMD [\"sh\"]", "-", "busybox"];
    sandbox.wharf_with(command, &busybox::tar()).success();
}

/// Uses every plugin once, so that no test has to wait for it.
fn warm_up(sandbox: &Sandbox) {
    sandbox.write("file", "");
    sandbox.build(
        "warm",
        "FROM busybox AS warm\nMAINTAINER m\nARG a=1\nENV b=2\nLABEL c=3\nWORKDIR /w\nCOPY file /w/\nADD file /w/\n\
         RUN true\nEXPOSE 1\nVOLUME /v\nUSER root\nCMD [\"true\"]\nENTRYPOINT [\"true\"]\n",
    );
    sandbox.run("run --rm warm").success();
    sandbox.run("run --rm --network none warm").success();
}

fn forget_old_templates() {
    for entry in fs::read_dir(workshop()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("template-") {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}
