//! What comes on standard input goes into a socket, and what comes out of it to standard output: so another wharf
//! is at the other end of a line that somebody else, such as `ssh`, has made.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

/// As much as a pipe holds.
const PIECE: usize = 64 << 10;

/// Begins to pass on, both ways. What goes out is over when the socket's other end is closed and the thread that is
/// returned has ended; what comes in is over when nothing more comes, or with the process.
pub(super) fn pass_on(
    (mut input, mut output): (File, File),
    stream: UnixStream,
) -> io::Result<JoinHandle<()>> {
    let (mut to, mut from) = (stream.try_clone()?, stream);
    thread::Builder::new().spawn(move || {
        pass(&mut input, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    })?;
    thread::Builder::new().spawn(move || pass(&mut from, &mut output))
}

/// Until either end is closed. Not `io::copy`: between a socket and a pipe that is `splice(2)`, which waits for the
/// socket with the pipe locked, and then nobody gets at what is in the pipe already.
fn pass(from: &mut dyn Read, to: &mut dyn Write) {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if to.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pipe_can_be_read_while_the_socket_is_silent() {
        let (input, _in) = io::pipe().unwrap();
        let (mut out, output) = io::pipe().unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let files =
            (File::from(std::os::fd::OwnedFd::from(input)), File::from(std::os::fd::OwnedFd::from(output)));
        let passing = pass_on(files, theirs).unwrap();
        ours.write_all(b"first").unwrap();
        let (said, hear) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 5];
            out.read_exact(&mut bytes).unwrap();
            said.send(bytes).unwrap();
        });
        assert_eq!(&hear.recv_timeout(Duration::from_secs(5)).unwrap(), b"first");
        drop(ours);
        passing.join().unwrap();
    }
}
