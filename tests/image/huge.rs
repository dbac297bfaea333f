//! Files that are mostly holes: wherever an image goes, neither it nor what is made of it takes room for them.

use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::harness::{Registry, Sandbox, host};

/// MiB on the disk.
fn mebibytes(path: &Path) -> u64 {
    let counted = host(&["du", "-sm", path.to_str().unwrap()]);
    counted.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn half_a_gibibyte_of_holes_stays_one_through_build_push_and_pull() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    let file = std::fs::File::create(box_.write("huge", "begin")).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(b"end\n", 1 << 29).unwrap();
    let name = registry.name("huge");
    let (before, room) = (mebibytes(box_.root()), 20);
    box_.build(&name, "FROM busybox\nCOPY huge /huge\n");
    let look = "stat -c %s /huge; head -c 5 /huge; tail -c 4 /huge; test $(stat -c %b /huge) -lt 10000 && echo holes";
    let seen = "536870916\nbeginend\nholes\n";
    assert_eq!(box_.in_image(&name, look), seen);
    box_.run(&format!("push {name}")).success();
    assert!(mebibytes(box_.root()) < before + room, "{} MiB", mebibytes(box_.root()));

    let other = box_.beside();
    other.run(&format!("pull {name}")).success();
    assert_eq!(other.in_image(&name, look), seen);
    assert!(mebibytes(other.root()) < before + room, "{} MiB", mebibytes(other.root()));
}
