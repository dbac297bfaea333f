//! Rules: expressions that load a part of a packet into a register, compare it, and decide.
//!
//! A rule is left at the first comparison that does not hold. Register 1 is where single values
//! go; a concatenation lies in the registers of four bytes from 8 on, which are the same memory.

use wharf_model::network::Cidr;

use super::Attributes;
use crate::net::cidr;

/// Register 1, which is also the first of the small ones.
const VALUE: u32 = libc::NFT_REG_1.cast_unsigned();
const VERDICT: u32 = libc::NFT_REG_VERDICT.cast_unsigned();
/// The first register of four bytes.
const SMALL: u32 = libc::NFT_REG32_00.cast_unsigned();
const LINK_NAME: usize = 16;
const COMMENT: u8 = 0;

const IPS_DST_NAT: u32 = 1 << 5;
const STATE_ESTABLISHED_RELATED: u32 = 1 << 1 | 1 << 2;
const FIB_DADDR: u32 = 1 << 1;
const FIB_ADDRESS_TYPE: u32 = 3;
const RTN_LOCAL: u32 = 2;

/// Where packets enter a chain.
#[derive(Clone, Copy)]
pub(crate) struct Hook {
    pub(crate) kind: &'static str,
    pub(crate) number: u32,
    pub(crate) priority: i32,
}

/// A part of a packet, or what is known of it.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Transport,
    InLink,
    SourceMac,
    ArpSourceMac,
    ArpSource,
    Source4,
    Dest4,
    DestPort,
}

/// A rule being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule(Attributes);

impl Rule {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(super) fn into_expressions(self) -> Attributes {
        self.0
    }

    /// What identifies a rule that says the same.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn push(self, name: &str, data: Attributes) -> Self {
        Self(self.0.nested(1, Attributes::new().text(1, name).nested(2, data)))
    }

    fn meta(self, key: libc::c_int, register: u32) -> Self {
        self.push("meta", Attributes::new().number(1, register).number(2, key.cast_unsigned()))
    }

    fn payload(self, base: libc::c_int, offset: u32, length: u32, register: u32) -> Self {
        let data = Attributes::new().number(1, register).number(2, base.cast_unsigned());
        self.push("payload", data.number(3, offset).number(4, length))
    }

    fn compare(self, how: libc::c_int, value: &[u8]) -> Self {
        let data = Attributes::new().number(1, VALUE).number(2, how.cast_unsigned());
        self.push("cmp", data.nested(3, Attributes::new().bytes(1, value)))
    }

    fn mask(self, mask: &[u8]) -> Self {
        let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
        let data = Attributes::new().number(1, VALUE).number(2, VALUE).number(3, length);
        let zero = vec![0; mask.len()];
        let data = data.nested(4, Attributes::new().bytes(1, mask));
        self.push("bitwise", data.nested(5, Attributes::new().bytes(1, &zero)))
    }

    /// Any of `bits` is set in what conntrack knows by `key`.
    fn tracked(self, key: libc::c_int, bits: u32) -> Self {
        let data = Attributes::new().number(1, VALUE).number(2, key.cast_unsigned());
        self.push("ct", data).mask(&bits.to_ne_bytes()).compare(libc::NFT_CMP_NEQ, &[0; 4])
    }

    /// The packet is IPv4.
    pub(crate) fn ipv4(self) -> Self {
        self.meta(libc::NFT_META_NFPROTO, VALUE).compare(libc::NFT_CMP_EQ, &[libc::NFPROTO_IPV4 as u8])
    }

    fn ipv6(self) -> Self {
        self.meta(libc::NFT_META_NFPROTO, VALUE).compare(libc::NFT_CMP_EQ, &[libc::NFPROTO_IPV6 as u8])
    }

    /// The frame carries this protocol.
    pub(crate) fn ether_type(self, number: u16) -> Self {
        self.meta(libc::NFT_META_PROTOCOL, VALUE).compare(libc::NFT_CMP_EQ, &number.to_be_bytes())
    }

    pub(crate) fn in_link(self, name: &str) -> Self {
        self.meta(libc::NFT_META_IIFNAME, VALUE).compare(libc::NFT_CMP_EQ, &link_name(name))
    }

    pub(crate) fn not_in_link(self, name: &str) -> Self {
        self.meta(libc::NFT_META_IIFNAME, VALUE).compare(libc::NFT_CMP_NEQ, &link_name(name))
    }

    pub(crate) fn out_link(self, name: &str) -> Self {
        self.meta(libc::NFT_META_OIFNAME, VALUE).compare(libc::NFT_CMP_EQ, &link_name(name))
    }

    pub(crate) fn not_out_link(self, name: &str) -> Self {
        self.meta(libc::NFT_META_OIFNAME, VALUE).compare(libc::NFT_CMP_NEQ, &link_name(name))
    }

    pub(crate) fn source(self, network: Cidr) -> Self {
        self.address(network, 12, 8)
    }

    pub(crate) fn dest(self, network: Cidr) -> Self {
        self.address(network, 16, 24)
    }

    fn address(self, network: Cidr, offset4: u32, offset6: u32) -> Self {
        let base = libc::NFT_PAYLOAD_NETWORK_HEADER;
        let loaded = match network.address.is_ipv4() {
            true => self.ipv4().payload(base, offset4, 4, VALUE),
            false => self.ipv6().payload(base, offset6, 16, VALUE),
        };
        let first = cidr::octets(cidr::first(network));
        loaded.mask(&cidr::mask(network)).compare(libc::NFT_CMP_EQ, &first)
    }

    /// The transport has this number.
    pub(crate) fn transport(self, number: u8) -> Self {
        self.meta(libc::NFT_META_L4PROTO, VALUE).compare(libc::NFT_CMP_EQ, &[number])
    }

    /// Goes to a port between these, both included; the transport must have been named.
    pub(crate) fn dest_ports(self, low: u16, high: u16) -> Self {
        self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, VALUE)
            .compare(libc::NFT_CMP_GTE, &low.to_be_bytes())
            .compare(libc::NFT_CMP_LTE, &high.to_be_bytes())
    }

    /// Goes to an address of this host.
    pub(crate) fn for_this_host(self) -> Self {
        let data = Attributes::new().number(1, VALUE).number(2, FIB_ADDRESS_TYPE).number(3, FIB_DADDR);
        self.push("fib", data).compare(libc::NFT_CMP_EQ, &RTN_LOCAL.to_ne_bytes())
    }

    /// Belongs to a connection that was let through before.
    pub(crate) fn established(self) -> Self {
        self.tracked(libc::NFT_CT_STATE, STATE_ESTABLISHED_RELATED)
    }

    /// Belongs to a connection whose destination was changed.
    pub(crate) fn forwarded(self) -> Self {
        self.tracked(libc::NFT_CT_STATUS, IPS_DST_NAT)
    }

    /// The concatenation of `parts` is in the set.
    pub(crate) fn in_set(self, parts: &[Part], set: &str) -> Self {
        let data = Attributes::new().text(1, set).number(2, SMALL);
        self.load(parts).push("lookup", data)
    }

    /// The concatenation of `parts` is not in the set.
    pub(crate) fn not_in_set(self, parts: &[Part], set: &str) -> Self {
        let data = Attributes::new().text(1, set).number(2, SMALL);
        self.load(parts).push("lookup", data.number(5, libc::NFT_LOOKUP_F_INV.cast_unsigned()))
    }

    /// Changes the destination to the address and the port that the map has for `parts`.
    pub(crate) fn forward_by(self, parts: &[Part], map: &str) -> Self {
        let lookup = Attributes::new().text(1, map).number(2, SMALL).number(3, SMALL);
        let nat = Attributes::new()
            .number(1, libc::NFT_NAT_DNAT.cast_unsigned())
            .number(2, libc::NFPROTO_IPV4.cast_unsigned())
            .number(3, SMALL)
            .number(5, SMALL + 1);
        self.load(parts).push("lookup", lookup).push("nat", nat)
    }

    fn load(self, parts: &[Part]) -> Self {
        parts.iter().fold((self, SMALL), |(rule, register), part| part.load(rule, register)).0
    }

    /// Gives the packet the host's address.
    pub(crate) fn masquerade(self) -> Self {
        self.push("masq", Attributes::new())
    }

    pub(crate) fn accept(self) -> Self {
        self.verdict(Attributes::new().number(1, libc::NF_ACCEPT.cast_unsigned()))
    }

    pub(crate) fn drop(self) -> Self {
        self.verdict(Attributes::new().number(1, libc::NF_DROP.cast_unsigned()))
    }

    pub(crate) fn jump(self, chain: &str) -> Self {
        self.verdict(Attributes::new().number(1, libc::NFT_JUMP.cast_unsigned()).text(2, chain))
    }

    fn verdict(self, verdict: Attributes) -> Self {
        let data = Attributes::new().nested(2, verdict);
        self.push("immediate", Attributes::new().number(1, VERDICT).nested(2, data))
    }
}

impl Part {
    /// Loads it at `register`; answers the register behind it.
    fn load(self, rule: Rule, register: u32) -> (Rule, u32) {
        let link = libc::NFT_PAYLOAD_LL_HEADER;
        let network = libc::NFT_PAYLOAD_NETWORK_HEADER;
        let transport = libc::NFT_PAYLOAD_TRANSPORT_HEADER;
        match self {
            Self::Transport => (rule.meta(libc::NFT_META_L4PROTO, register), register + 1),
            Self::InLink => (rule.meta(libc::NFT_META_IIFNAME, register), register + 4),
            Self::SourceMac => (rule.payload(link, 6, 6, register), register + 2),
            Self::ArpSourceMac => (rule.payload(network, 8, 6, register), register + 2),
            Self::ArpSource => (rule.payload(network, 14, 4, register), register + 1),
            Self::Source4 => (rule.payload(network, 12, 4, register), register + 1),
            Self::Dest4 => (rule.payload(network, 16, 4, register), register + 1),
            Self::DestPort => (rule.payload(transport, 2, 2, register), register + 1),
        }
    }
}

/// A link's name as the kernel compares it: 16 bytes, zeros behind.
pub(crate) fn link_name(name: &str) -> [u8; LINK_NAME] {
    let mut bytes = [0; LINK_NAME];
    for (to, from) in bytes.iter_mut().zip(name.bytes().take(LINK_NAME - 1)) {
        *to = from;
    }
    bytes
}

/// A comment as nft writes and lists it.
pub(super) fn comment(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    let mut bytes = vec![COMMENT, length];
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes
}

pub(super) fn comment_text(userdata: &[u8]) -> Option<String> {
    let [COMMENT, _, text @ .., 0] = userdata else { return None };
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_come_back() {
        assert_eq!(comment_text(&comment("wharf 12ab")).as_deref(), Some("wharf 12ab"));
        assert_eq!(comment_text(&[]), None);
    }

    #[test]
    fn link_names_are_padded() {
        assert_eq!(&link_name("br0"), b"br0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }
}
