//! What there is in a network namespace, as text: to be compared before and after.

use std::collections::BTreeMap;

use super::socket::Socket;
use super::{NetError, nft, open_links};

/// How the lines of a network's tables begin, and of the rules that are always in them.
pub const FRAME: &str = "firewall table";

/// Links, addresses, routes, and the firewall's tables with their rules and elements, of the calling
/// thread's network namespace; sorted. What the kernel makes by itself when a link goes up (its IPv6
/// link-local address) is left out.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn picture() -> Result<Vec<String>, NetError> {
    let mut lines = open_links()?.everything().map_err(NetError::List)?;
    let socket = |source| NetError::Socket { which: "netfilter", source };
    let mut netfilter = Socket::netfilter().map_err(socket)?;
    lines.extend(nft::everything(&mut netfilter).map_err(NetError::List)?);
    netfilter.close_later();
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines {
        *counted.entry(line).or_default() += 1;
    }
    let line =
        |(line, count): (String, usize)| if count == 1 { line } else { format!("{line} ({count} times)") };
    Ok(counted.into_iter().map(line).collect())
}

/// A kernel setting as the calling thread's namespace has it; `None` when there is none.
///
/// # Errors
/// When it is no setting below `net/`.
pub fn setting(key: &str) -> Result<Option<String>, NetError> {
    super::sysctl::check(key)?;
    let text = std::fs::read_to_string(std::path::Path::new("/proc/sys").join(key));
    Ok(text.ok().map(|text| text.trim_end().to_owned()))
}
