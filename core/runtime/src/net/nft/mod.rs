//! nftables without its program: transactions over `NETLINK_NETFILTER`.
//!
//! ```text
//! batch begin | new table | new chain | new rule ... | batch end     one datagram, one transaction
//! message   = netlink header, family (1), version 0 (1), resource id (2, big-endian), attributes
//! attribute = length (2), kind (2; top bit: holds attributes), value, padded to 4
//! ```
//!
//! Numbers inside attributes are big-endian. Either all messages of a [`Batch`] take effect or
//! none. Names and numbers are those of `linux/netfilter/nf_tables.h`.

mod attributes;
mod rule;

use std::io;

use super::picture::FRAME;
use super::socket::{self, ACK, APPEND, Answer, CREATE, DUMP, EXCLUSIVE, Message, REQUEST, Socket};
pub(super) use attributes::{Attributes, find};
pub(super) use rule::{Hook, Part, Rule, link_name};

const SUBSYSTEM: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;
/// How nft is told that it can show a key as text.
const KEY_BYTE_ORDER: u8 = 0;
const HOST_BYTE_ORDER: u32 = 1;
const BATCH_BEGIN: u16 = libc::NFNL_MSG_BATCH_BEGIN as u16;
const BATCH_END: u16 = libc::NFNL_MSG_BATCH_END as u16;

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// Frames between the ports of a bridge.
    Bridge,
}

/// A table of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) family: Family,
    pub(super) name: String,
}

/// A set, or a map when its elements have data.
pub(super) struct Set {
    pub(super) name: &'static str,
    /// nft's numbers of the fields, for those who list the set.
    pub(super) key: &'static [Field],
    pub(super) data: &'static [Field],
}

/// A part of a key. In a concatenation each is padded to four bytes.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Ipv4,
    Mac,
    Protocol,
    Port,
    Link,
}

/// A transaction that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} in the firewall")]
pub(super) struct BatchError {
    /// Which message was refused.
    pub(super) what: &'static str,
    pub(super) source: io::Error,
}

/// Messages that take effect together.
pub(super) struct Batch<'a> {
    table: &'a Table,
    messages: Vec<(&'static str, u16, u16, Attributes)>,
}

/// A rule that is in the kernel.
pub(super) struct Existing {
    pub(super) handle: u64,
    pub(super) comment: Option<String>,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Inet => libc::NFPROTO_INET as u8,
            Self::Bridge => libc::NFPROTO_BRIDGE as u8,
        }
    }
}

impl Field {
    /// nft's own number of the type, and the bytes of a value.
    fn numbers(self) -> (u32, u32) {
        match self {
            Self::Ipv4 => (7, 4),
            Self::Mac => (9, 6),
            Self::Protocol => (12, 1),
            Self::Port => (13, 2),
            Self::Link => (41, 16),
        }
    }

    /// The type and the length of a concatenation.
    fn concatenation(fields: &[Self]) -> (u32, u32) {
        match fields {
            [only] => only.numbers(),
            several => several.iter().map(|field| field.numbers()).fold((0, 0), |(kinds, length), next| {
                (kinds << 6 | next.0, length + next.1.next_multiple_of(4))
            }),
        }
    }
}

impl<'a> Batch<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self { table, messages: Vec::new() }
    }

    fn push(&mut self, what: &'static str, kind: libc::c_int, flags: u16, body: Attributes) {
        self.messages.push((what, kind as u16, flags, body));
    }

    /// Fails when it is there.
    pub(super) fn add_table(&mut self) {
        let body = Attributes::new().text(1, &self.table.name);
        self.push("add a table", libc::NFT_MSG_NEWTABLE, CREATE | EXCLUSIVE, body);
    }

    /// With all that is in it; fails when it is not there.
    pub(super) fn delete_table(&mut self) {
        let body = Attributes::new().text(1, &self.table.name);
        self.push("delete a table", libc::NFT_MSG_DELTABLE, 0, body);
    }

    /// A chain that packets enter at `hook`, or by a jump when there is none.
    pub(super) fn add_chain(&mut self, name: &str, hook: Option<Hook>) {
        let mut body = Attributes::new().text(1, &self.table.name).text(3, name);
        if let Some(hook) = hook {
            let place = Attributes::new().number(1, hook.number).number(2, hook.priority.cast_unsigned());
            body = body.nested(4, place).number(5, libc::NF_ACCEPT.cast_unsigned()).text(7, hook.kind);
        }
        self.push("add a chain", libc::NFT_MSG_NEWCHAIN, CREATE, body);
    }

    pub(super) fn add_set(&mut self, set: &Set) {
        let (key, key_length) = Field::concatenation(set.key);
        let (data, data_length) = Field::concatenation(set.data);
        let map = if set.data.is_empty() { 0 } else { libc::NFT_SET_MAP.cast_unsigned() };
        let mut body = Attributes::new().text(1, &self.table.name).text(2, set.name);
        body = body.number(3, map).number(4, key).number(5, key_length);
        if !set.data.is_empty() {
            body = body.number(6, data).number(7, data_length);
        }
        if let [Field::Link] = set.key {
            body = body.bytes(13, &[&[KEY_BYTE_ORDER, 4][..], &HOST_BYTE_ORDER.to_ne_bytes()].concat());
        }
        let id = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        self.push("add a set", libc::NFT_MSG_NEWSET, CREATE, body.number(10, id));
    }

    /// Fails when the key is there with other data.
    pub(super) fn add_element(&mut self, set: &str, key: &[u8], data: &[u8]) {
        let body = elements(self.table, set, key, data);
        self.push("add an element", libc::NFT_MSG_NEWSETELEM, CREATE, body);
    }

    /// Fails when the key is not there.
    pub(super) fn delete_element(&mut self, set: &str, key: &[u8]) {
        let body = elements(self.table, set, key, &[]);
        self.push("delete an element", libc::NFT_MSG_DELSETELEM, 0, body);
    }

    /// At the end of the chain.
    pub(super) fn add_rule(&mut self, chain: &str, rule: Rule, comment: Option<&str>) {
        let mut body = Attributes::new().text(1, &self.table.name).text(2, chain);
        body = body.nested(4, rule.into_expressions());
        if let Some(comment) = comment {
            body = body.bytes(7, &rule::comment(comment));
        }
        self.push("add a rule", libc::NFT_MSG_NEWRULE, CREATE | APPEND, body);
    }

    pub(super) fn delete_rule(&mut self, chain: &str, handle: u64) {
        let body = Attributes::new().text(1, &self.table.name).text(2, chain);
        let body = body.bytes(3, &handle.to_be_bytes());
        self.push("delete a rule", libc::NFT_MSG_DELRULE, 0, body);
    }

    /// The same as [`Batch::commit`]; a batch of nothing does not go out.
    pub(super) fn commit_unless_empty(self, socket: &mut Socket) -> Result<(), BatchError> {
        if self.messages.is_empty() { Ok(()) } else { self.commit(socket) }
    }

    /// Carries all of it out, or nothing.
    pub(super) fn commit(self, socket: &mut Socket) -> Result<(), BatchError> {
        let first = socket.next_sequence();
        let mut bytes = batch_mark(BATCH_BEGIN, first);
        let last = self.messages.len().saturating_sub(1);
        let family = self.table.family;
        for (index, (_, kind, flags, body)) in self.messages.iter().enumerate() {
            let flags = REQUEST | flags | if index == last { ACK } else { 0 };
            let sequence = socket.next_sequence();
            bytes.extend(socket::message(SUBSYSTEM << 8 | kind, flags, sequence, &framed(family, body)));
        }
        bytes.extend(batch_mark(BATCH_END, socket.next_sequence()));
        let named = |sequence: u32| {
            let index = sequence.checked_sub(first + 1).and_then(|index| usize::try_from(index).ok());
            index.and_then(|index| self.messages.get(index)).map_or("commit a change", |message| message.0)
        };
        let unnamed = |source| BatchError { what: "commit a change", source };
        socket.send(&bytes).map_err(unnamed)?;
        let mut done = false;
        loop {
            let answers = match socket.receive() {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                answers => answers.map_err(unnamed)?,
            };
            for answer in answers.iter().filter(|answer| answer.sequence >= first) {
                match answer.answer() {
                    Answer::Failed(source) => {
                        drain(socket);
                        return Err(BatchError { what: named(answer.sequence), source });
                    }
                    Answer::Done => done = true,
                    Answer::Data => {}
                }
            }
        }
        if done { Ok(()) } else { Err(unnamed(io::Error::other("the kernel did not answer"))) }
    }
}

/// A refused batch has one answer for each refused message; none may wait for the next request.
fn drain(socket: &mut Socket) {
    while socket.receive().is_ok() {}
}

/// Whether the table is there.
pub(super) fn has_table(socket: &mut Socket, table: &Table) -> io::Result<bool> {
    let body = Attributes::new().text(1, &table.name);
    match get(socket, table.family, libc::NFT_MSG_GETTABLE, ACK, &body) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        answers => answers.map(|_| true),
    }
}

/// The data of an element: `None` when the key is not there, empty when it is a set.
pub(super) fn element(
    socket: &mut Socket,
    table: &Table,
    set: &str,
    key: &[u8],
) -> io::Result<Option<Vec<u8>>> {
    let body = elements(table, set, key, &[]);
    let answers = match get(socket, table.family, libc::NFT_MSG_GETSETELEM, ACK, &body) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        answers => answers?,
    };
    let data = answers.first().map(|answer| {
        let path = [3, 1, 2, 1];
        attributes::find(payload(answer), &path).unwrap_or_default().to_vec()
    });
    Ok(data)
}

/// The rules of a chain, in order; none when there is no such chain.
pub(super) fn rules(socket: &mut Socket, table: &Table, chain: &str) -> io::Result<Vec<Existing>> {
    let body = Attributes::new().text(1, &table.name).text(2, chain);
    let answers = match get(socket, table.family, libc::NFT_MSG_GETRULE, DUMP, &body) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        answers => answers?,
    };
    let rules = answers.iter().map(payload).filter_map(|rule| {
        let handle = attributes::find(rule, &[3])?.first_chunk::<8>()?;
        let comment = attributes::find(rule, &[7]).and_then(rule::comment_text);
        Some(Existing { handle: u64::from_be_bytes(*handle), comment })
    });
    Ok(rules.collect())
}

/// A line for each table, rule and element of the namespace, whoever made it.
pub(super) fn everything(socket: &mut Socket) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for message in dump(socket, 0, libc::NFT_MSG_GETTABLE, &Attributes::new())? {
        lines.push(format!("{FRAME} {}", text(&message, 1)));
    }
    for message in dump(socket, 0, libc::NFT_MSG_GETRULE, &Attributes::new())? {
        let comment = attributes::find(payload(&message), &[7]).and_then(rule::comment_text);
        let (table, chain) = (text(&message, 1), text(&message, 2));
        lines.push(match comment {
            Some(comment) => format!("firewall rule in {table} {chain} {comment}"),
            None => format!("{FRAME} {table}, rule in {chain}"),
        });
    }
    for set in dump(socket, 0, libc::NFT_MSG_GETSET, &Attributes::new())? {
        let (table, name) = (text(&set, 1), text(&set, 2));
        let family = set.body.first().copied().unwrap_or_default();
        let body = Attributes::new().text(1, &table).text(2, &name);
        for message in dump(socket, family, libc::NFT_MSG_GETSETELEM, &body)? {
            // Equal contents give equal bytes, and nobody else's order is known.
            let elements = attributes::find(payload(&message), &[3]).unwrap_or_default();
            if elements.is_empty() {
                continue;
            }
            let digest = wharf_model::Digest::of(elements).short();
            lines.push(format!("firewall elements in {table} {name} {digest}"));
        }
    }
    Ok(lines)
}

fn dump(socket: &mut Socket, family: u8, kind: libc::c_int, body: &Attributes) -> io::Result<Vec<Message>> {
    let mut bytes = vec![family, 0, 0, 0];
    bytes.extend(body.as_bytes());
    match socket.request(SUBSYSTEM << 8 | kind as u16, DUMP, &bytes) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        answers => answers,
    }
}

fn text(message: &Message, kind: u16) -> String {
    let bytes = attributes::find(payload(message), &[kind]).unwrap_or_default();
    String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into_owned()
}

fn get(
    socket: &mut Socket,
    family: Family,
    kind: libc::c_int,
    flags: u16,
    body: &Attributes,
) -> io::Result<Vec<Message>> {
    socket.request(SUBSYSTEM << 8 | kind as u16, flags, &framed(family, body))
}

fn elements(table: &Table, set: &str, key: &[u8], data: &[u8]) -> Attributes {
    let mut element = Attributes::new().nested(1, Attributes::new().bytes(1, key));
    if !data.is_empty() {
        element = element.nested(2, Attributes::new().bytes(1, data));
    }
    let list = Attributes::new().nested(1, element);
    Attributes::new().text(1, &table.name).text(2, set).nested(3, list)
}

/// Behind nfnetlink's header of four bytes.
fn payload(message: &Message) -> &[u8] {
    message.body.get(4..).unwrap_or_default()
}

fn framed(family: Family, body: &Attributes) -> Vec<u8> {
    let mut bytes = vec![family.number(), 0, 0, 0];
    bytes.extend(body.as_bytes());
    bytes
}

fn batch_mark(kind: u16, sequence: u32) -> Vec<u8> {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    socket::message(kind, REQUEST, sequence, &[0, 0, high, low])
}
