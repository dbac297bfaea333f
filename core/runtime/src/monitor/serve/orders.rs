//! What the starter hands over.

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
};

use super::super::{
    Launch,
    message::{FromStarter, Size},
};
use crate::message::Channel;

/// Everything a monitor starts with.
pub(super) struct Orders {
    pub(super) launch: Launch,
    /// The launch as it came, to be read again.
    pub(super) file: File,
    pub(super) size: Option<Size>,
    pub(super) netns: Option<OwnedFd>,
    pub(super) client: Option<OwnedFd>,
    pub(super) mounts: Vec<OwnedFd>,
    pub(super) hold: Vec<OwnedFd>,
}

impl Orders {
    /// Takes everything up to `Go`; `None` when the starter gives up before.
    pub(super) fn receive(channel: &Channel) -> io::Result<Option<Self>> {
        let (mut file, mut size, mut netns, mut client) = (None, None, None, None);
        let (mut mounts, mut hold) = (Vec::new(), Vec::new());
        loop {
            let Some((message, fd)) = channel.receive::<FromStarter>()? else { return Ok(None) };
            match message {
                FromStarter::Launch { size: known } => (file, size) = (fd.map(File::from), known),
                FromStarter::Netns => netns = fd,
                FromStarter::Client => client = fd,
                FromStarter::Mount => mounts.extend(fd),
                FromStarter::Hold => hold.extend(fd),
                FromStarter::Go => break,
            }
            if hold.len() + mounts.len() == MANY {
                allow_more_descriptors()?;
            }
        }
        let Some(file) = file else { return Ok(None) };
        let launch = read(&file)?;
        Ok(Some(Self { launch, file, size, netns, client, mounts, hold }))
    }
}

/// From so many held descriptors on the usual limit of 1024 may come near.
const MANY: usize = 500;

fn allow_more_descriptors() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Reads a launch from the file it came in.
pub(super) fn read(file: &File) -> io::Result<Launch> {
    let mut text = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    file.read_exact_at(&mut text, 0)?;
    Ok(serde_json::from_slice(&text)?)
}
