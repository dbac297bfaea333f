//! `build --secret` and `build --ssh`: what a step may use, and nobody keeps.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::harness::{Sandbox, host};

const VALUE: &str = "wharf-test-hunter2";

/// Whether any file below a directory holds the value.
fn is_below(directory: &Path) -> bool {
    let found = Command::new("grep").args(["-r", "-l", "-a", "-s", VALUE]).arg(directory).output().unwrap();
    !found.stdout.is_empty()
}

#[test]
fn a_secret_is_a_file_in_memory_for_one_step() {
    let box_ = Sandbox::new();
    box_.write("token", VALUE);
    box_.write(
        "Dockerfile",
        "FROM busybox\n\
         RUN --mount=type=secret,id=token stat -c '%a %u:%g %s' /run/secrets/token; grep -c hunter2 /run/secrets/token; \
         grep ' /run/secrets/token ' /proc/mounts; echo x > /run/secrets/token || echo refused\n\
         RUN --mount=type=secret,id=token,target=/etc/t,mode=0444,uid=7,gid=8 stat -c '%a %u:%g' /etc/t\n\
         RUN ls /run/secrets/token /etc/t; echo \"left: $(ls /run)\"\n",
    );
    let built = box_.run("build --secret id=token,src=token --explain --record plan.json -t x .").success();
    let built = built.says(" 400 0:0 18").says(" 1").says("tmpfs").says("ro,").says(" refused");
    built
        .says(" 444 7:8")
        .says("/run/secrets/token: No such file")
        .says("/etc/t: No such file")
        .says("left: \n");
    assert!(!box_.read("plan.json").contains(VALUE));
    for place in [box_.root(), box_.run_root()] {
        assert!(!is_below(place), "the secret is below {}", place.display());
    }
    box_.run("save -o x.tar x").success();
    assert!(
        !fs::read(box_.dir().join("x.tar"))
            .unwrap()
            .windows(VALUE.len())
            .any(|part| part == VALUE.as_bytes())
    );
    assert_eq!(box_.in_image("x", "ls -A /run /etc | grep -c secrets || true"), "0\n");
}

#[test]
fn a_secret_can_be_a_variable_and_come_from_one() {
    let box_ = Sandbox::new();
    box_.set("TOKEN", VALUE);
    box_.write(
        "Dockerfile",
        "FROM busybox\n\
         RUN --mount=type=secret,id=TOKEN,env=T test ${#T} = 18 && ! test -e /run/secrets/TOKEN\n\
         RUN --mount=type=secret,id=TOKEN,env=T,target=/t test \"$T\" = \"$(cat /t)\"\n\
         RUN --mount=type=secret,id=other,env=O echo \"other is <$O>\"; test -n \"${O+set}\"\n\
         RUN echo \"later it is <$T>\"\n",
    );
    for secret in ["id=TOKEN", "id=TOKEN,env=TOKEN", "type=env,id=TOKEN", "type=env,id=TOKEN,src=TOKEN"] {
        let built = box_.run(&format!("build --no-cache --secret {secret} -t x .")).success();
        built.says("other is <>").says("later it is <>").without(VALUE);
    }
    assert!(!is_below(box_.root()));
    let shown = box_.run("inspect x").success();
    shown.without(VALUE);
}

#[test]
fn another_value_changes_no_step_and_a_missing_secret_names_the_line() {
    let box_ = Sandbox::new();
    box_.write("token", VALUE);
    box_.write("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=token,required true\n");
    box_.run("build --secret id=token,src=token -t x .").success();
    box_.write("token", "another");
    box_.run("build --secret id=token,src=token -t x .").success().says("CACHED");
    let words = ["Dockerfile:2", "secret `token`: not found", "--secret id=token,src=FILE"];
    box_.refuses(1, &["build", "--no-cache", "-t", "y", "."], &words);

    box_.write(
        "Dockerfile",
        "FROM busybox\nRUN --mount=type=secret,id=token ls /run/secrets || echo nothing\n",
    );
    box_.run("build -t x .").success().says(" nothing");
}

#[test]
fn a_secret_that_can_not_be_had_ends_the_build_before_it_begins() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=a true\n");
    box_.write("long", vec![b'x'; 600 << 10]);
    for (secret, word) in [
        ("id=a,src=absent", "absent"),
        ("id=a,src=long", "longer than 500 KiB"),
        ("src=long", "no id"),
        ("id=a,type=vault,src=long", "vault"),
        ("id=a,src=.", "secret `a`"),
    ] {
        box_.refuses(1, &["build", "--secret", secret, "-t", "x", "."], &[word]);
    }
}

/// Answers a question for its keys with none, and remembers what it was asked.
fn agent(socket: &Path) -> std::thread::JoinHandle<Vec<u8>> {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut asked = [0; 5];
        client.read_exact(&mut asked).unwrap();
        client.write_all(&[0, 0, 0, 5, 12, 0, 0, 0, 0]).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        [asked.to_vec(), rest].concat()
    })
}

#[test]
fn a_step_uses_the_agent_of_whoever_builds_and_can_not_change_it() {
    let box_ = Sandbox::with_python();
    let asked = agent(&box_.dir().join("agent"));
    // Which keys are there; then: forget all of them.
    let client = "import os, socket\n\
                  path = os.environ['SSH_AUTH_SOCK']\n\
                  print(path, oct(os.stat(path).st_mode & 0o777), os.stat(path).st_uid)\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(path)\n\
                  s.sendall(bytes([0, 0, 0, 1, 11]))\n\
                  print('keys', list(s.recv(99)))\n\
                  s.sendall(bytes([0, 0, 0, 1, 19]))\n\
                  print('forget', list(s.recv(99)))\n";
    box_.write("client.py", client);
    box_.write(
        "Dockerfile",
        "FROM python:3.6\nCOPY client.py /\nUSER 1234\n\
         RUN --mount=type=ssh,uid=1234,required=true python3 /client.py\n\
         RUN echo \"later it is <$SSH_AUTH_SOCK>\"; ls -A /run\n",
    );
    box_.set("SSH_AUTH_SOCK", box_.dir().join("agent").to_str().unwrap());
    let built = box_.run("build --ssh default -t x .").success();
    let built = built.says("/run/buildkit/ssh_agent.0 0o600 1234").says("keys [0, 0, 0, 5, 12, 0, 0, 0, 0]");
    built.says("forget [0, 0, 0, 1, 5]").says("later it is <>").without(" buildkit\n");
    assert_eq!(asked.join().unwrap(), [0, 0, 0, 1, 11]);

    box_.write(
        "Dockerfile",
        "FROM busybox\nRUN --mount=type=ssh,id=work,target=/a test -S /a && test $SSH_AUTH_SOCK = /a\n",
    );
    box_.run("build -t y .").fails(1);
    box_.run("build --ssh work=agent -t y .").success();
}

/// Makes a key with OpenSSH's own program.
fn key(box_: &Sandbox, name: &str, kind: &str, passphrase: &str) -> String {
    let path = box_.dir().join(name);
    host(&[
        "ssh-keygen",
        "-q",
        "-t",
        kind,
        "-N",
        passphrase,
        "-C",
        "of a test",
        "-f",
        path.to_str().unwrap(),
    ]);
    let public = box_.read(&format!("{name}.pub"));
    public.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn keys_in_files_get_an_agent_for_as_long_as_the_build() {
    let box_ = Sandbox::with_python();
    let agents = || {
        let names = fs::read_dir("/tmp").unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("ssh-")).collect::<Vec<_>>()
    };
    let before = agents();
    let publics = [key(&box_, "one", "ed25519", ""), key(&box_, "two", "rsa", "")];
    key(&box_, "locked", "ed25519", "a passphrase");
    // Which keys are there, and a signature of each.
    let client = "import base64, os, socket, struct\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(os.environ['SSH_AUTH_SOCK'])\n\
                  text = lambda b: struct.pack('>I', len(b)) + b\n\
                  def ask(message):\n\
                  \x20   s.sendall(text(message))\n\
                  \x20   size = struct.unpack('>I', s.recv(4))[0]\n\
                  \x20   answer = b''\n\
                  \x20   while len(answer) < size: answer += s.recv(size - len(answer))\n\
                  \x20   return answer\n\
                  listed = ask(bytes([11]))\n\
                  at = 5\n\
                  for _ in range(struct.unpack('>I', listed[1:5])[0]):\n\
                  \x20   size = struct.unpack('>I', listed[at:at + 4])[0]\n\
                  \x20   blob, at = listed[at + 4:at + 4 + size], at + 4 + size\n\
                  \x20   at += 4 + struct.unpack('>I', listed[at:at + 4])[0]\n\
                  \x20   print('key', base64.b64encode(blob).decode(), ask(bytes([13]) + text(blob) + text(b'x') + bytes(4))[0])\n";
    box_.write("context/client.py", client);
    box_.write(
        "context/Dockerfile",
        "FROM python:3.6\nCOPY client.py /\nRUN --mount=type=ssh,required python3 /client.py\n",
    );
    let built = box_.run("build --ssh default=one,two -t x context").success();
    for public in publics {
        assert!(built.stderr.contains(&format!("key {public} 14")), "{public}\n{built}");
    }
    assert_eq!(agents(), before, "the agent is gone");
    // What is cached needs no key, and no program.
    box_.set("PATH", "/nowhere");
    box_.run("build --ssh default=one -t x context").success().says("CACHED");
    box_.run("build --no-cache --ssh default=one -t x context").fails(1).says("no program ssh-agent");
    box_.set("PATH", &std::env::var("PATH").unwrap());
    let refused = |key: &str| box_.run(&format!("build --no-cache --ssh default={key} context")).fails(1);
    refused("locked").says("cannot use the key locked").says("ssh-add locked");
    host(&["chmod", "644", box_.dir().join("one").to_str().unwrap()]);
    refused("one").says("chmod 600 one");
    refused("one.pub").says("name the private key: one");
    assert_eq!(agents(), before);
}

#[test]
fn an_agent_that_is_none_is_told_from_one() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN --mount=type=ssh,required true\n");
    box_.write("id_rsa", "a key");
    box_.refuses(
        1,
        &["build", "-t", "x", "."],
        &["Dockerfile:2", "ssh `default`: not found", "--ssh default"],
    );
    box_.refuses(1, &["build", "--ssh", "default", "-t", "x", "."], &["SSH_AUTH_SOCK is set"]);
    box_.refuses(
        1,
        &["build", "--ssh", "default=id_rsa", "-t", "x", "."],
        &["id_rsa is neither the socket of an ssh agent nor a private key"],
    );
    box_.refuses(1, &["build", "--ssh", "default=absent", "-t", "x", "."], &["absent"]);
}
