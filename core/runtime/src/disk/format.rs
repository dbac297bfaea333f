//! Making a file system in a file, with the tool that its authors give.
//!
//! The tools run without the user's environment, and with fixed identifiers, a fixed hash seed and a
//! fixed time where they can be told, so that nothing depends on chance or on when it was done. The
//! whole file system is written at once: nothing is left for the kernel to initialise later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wharf_model::storage::Filesystem;

use super::{Access, Disk, DiskError, below};

const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
const UUID: &str = "77686172-6600-4000-8000-000000000001";
const HASH_SEED: &str = "77686172-6600-4000-8000-000000000002";
/// All that `mke2fs.conf` would say differently from one host to the other.
const EXT4_FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                             sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// Makes an empty file system in the file `path`; what was there is lost.
///
/// # Errors
/// When the tool is not installed or refuses, such as for a file that is too short.
pub fn format(path: &Path, filesystem: Filesystem) -> Result<(), DiskError> {
    match filesystem {
        Filesystem::Ext4 => ext4(path),
        Filesystem::Xfs => run("mkfs.xfs", &["-q", "-f", "-m", &format!("uuid={UUID}")], path),
        Filesystem::Btrfs => run("mkfs.btrfs", &["--quiet", "--force", "--uuid", UUID], path),
    }
}

/// Root has no blocks of its own, so that the size means the same for every user. The directory for
/// what a check finds goes: a root file system has no such thing, and `fsck` makes it when it must.
fn ext4(path: &Path) -> Result<(), DiskError> {
    let extended = format!("hash_seed={HASH_SEED},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0");
    let arguments = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-I",
        "256",
        "-i",
        "8192",
        "-m",
        "0",
        "-U",
        UUID,
        "-O",
        EXT4_FEATURES,
        "-E",
        &extended,
    ];
    run("mkfs.ext4", &arguments, path)?;
    let disk = Disk {
        file: path.to_owned(),
        filesystem: Filesystem::Ext4,
        directory: PathBuf::new(),
        access: Access::ReadWrite,
    };
    let mounted = disk.detached()?;
    match fs::remove_dir(below(&mounted, "lost+found")) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(DiskError::Format {
            program: "mkfs.ext4",
            path: path.to_owned(),
            said: format!("lost+found: {err}"),
        }),
        _ => Ok(()),
    }
}

fn run(program: &'static str, arguments: &[&str], path: &Path) -> Result<(), DiskError> {
    let tool = find(program)?;
    let refused = |said: String| DiskError::Format { program, path: path.to_owned(), said };
    let output = Command::new(tool)
        .args(arguments)
        .arg(path)
        .env_clear()
        .env("PATH", DIRECTORIES.join(":"))
        .env("LC_ALL", "C")
        .env("MKE2FS_CONFIG", "/dev/null")
        .env("SOURCE_DATE_EPOCH", "315532800")
        .env("E2FSPROGS_FAKE_TIME", "315532800")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(|err| refused(err.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(refused(said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")))
}

fn find(program: &'static str) -> Result<PathBuf, DiskError> {
    let places = DIRECTORIES.iter().map(|directory| Path::new(directory).join(program));
    places
        .into_iter()
        .find(|path| path.is_file())
        .ok_or(DiskError::NoTool { program, looked: DIRECTORIES.to_vec() })
}
