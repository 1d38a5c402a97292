//! Addresses and their ranges. IPv4 addresses in IPv6 form and zones are refused.

use super::{Args, Kube, Outcome, made, text};
use crate::cel::{error::Error, machine::Machine, value::Value};
use std::{fmt, net::IpAddr};

/// A range of addresses, with the address as it was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Cidr {
    pub(super) address: IpAddr,
    bits: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, Error> {
    let wrong = |why: &str| {
        Error::new(format!("IP Address {text:?} parse error during conversion from string: {why}"))
    };
    if text.contains('%') {
        return Err(Error::new(format!("IP address {text:?} with zone value is not allowed")));
    }
    let address: IpAddr =
        text.parse().map_err(|_| wrong(&format!("ParseAddr({text:?}): unable to parse IP")))?;
    if is_mapped(address) {
        return Err(Error::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    Ok(address)
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

fn parse_cidr(text: &str) -> Result<Cidr, Error> {
    let wrong = || Error::new(format!("network address parse error during conversion from string: {text:?}"));
    let (address, bits) = text.rsplit_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let is_plain = bits.bytes().all(|b| b.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'));
    let bits: u8 = if is_plain { bits.parse().map_err(|_| wrong())? } else { return Err(wrong()) };
    if bits > width(address) {
        return Err(wrong());
    }
    if is_mapped(address) {
        return Err(Error::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    Ok(Cidr { address, bits })
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first bits of an address, the others zero.
fn network(address: IpAddr, bits: u8) -> IpAddr {
    let unset = u32::from(width(address).saturating_sub(bits));
    match address {
        IpAddr::V4(address) => {
            IpAddr::V4((address.to_bits() & u32::MAX.checked_shl(unset).unwrap_or(0)).into())
        }
        IpAddr::V6(address) => {
            IpAddr::V6((address.to_bits() & u128::MAX.checked_shl(unset).unwrap_or(0)).into())
        }
    }
}

impl Cidr {
    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && network(address, self.bits) == network(self.address, self.bits)
    }
}

fn as_ip(args: Args<'_, '_>, i: usize) -> Result<IpAddr, Error> {
    match args.get(i) {
        Some(Value::String(text)) if i > 0 => parse_ip(text),
        Some(Value::Kube(kube)) => match &**kube {
            Kube::Ip(address) => Ok(*address),
            _ => Err(Error::NoSuchOverload),
        },
        _ => Err(Error::NoSuchOverload),
    }
}
fn with_cidr<'a>(args: Args<'_, '_>, of: impl FnOnce(&Cidr) -> Outcome<'a>) -> Outcome<'a> {
    let Some(Value::Kube(kube)) = args.first() else { return Err(Error::NoSuchOverload) };
    let Kube::Cidr(cidr) = &**kube else { return Err(Error::NoSuchOverload) };
    of(cidr)
}

pub(in crate::cel) fn ip<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(made(Kube::Ip(parse_ip(text)?))),
        _ => with_cidr(args, |cidr| Ok(made(Kube::Ip(cidr.address)))),
    }
}
pub(in crate::cel) fn is_ip<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(parse_ip(text(args, 0)?).is_ok()))
}
pub(in crate::cel) fn is_canonical<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let text = text(args, 0)?;
    Ok(Value::Bool(parse_ip(text)?.to_string() == text))
}
pub(in crate::cel) fn family<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Int(if as_ip(args, 0)?.is_ipv4() { 4 } else { 6 }))
}
pub(in crate::cel) fn is_unspecified<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(as_ip(args, 0)?.is_unspecified()))
}
pub(in crate::cel) fn is_loopback<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(as_ip(args, 0)?.is_loopback()))
}
fn link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [224, 0, 0, _]),
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }
}
fn link_local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}
pub(in crate::cel) fn is_link_local_multicast<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(link_local_multicast(as_ip(args, 0)?)))
}
pub(in crate::cel) fn is_link_local_unicast<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(link_local_unicast(as_ip(args, 0)?)))
}
pub(in crate::cel) fn is_global_unicast<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let address = as_ip(args, 0)?;
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let is_special =
        is_broadcast || address.is_unspecified() || address.is_loopback() || address.is_multicast();
    Ok(Value::Bool(!is_special && !link_local_unicast(address)))
}

pub(in crate::cel) fn cidr<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(made(Kube::Cidr(parse_cidr(text(args, 0)?)?)))
}
pub(in crate::cel) fn is_cidr<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(parse_cidr(text(args, 0)?).is_ok()))
}
pub(in crate::cel) fn contains_ip<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    with_cidr(args, |cidr| Ok(Value::Bool(cidr.contains(as_ip(args, 1)?))))
}
pub(in crate::cel) fn contains_cidr<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    with_cidr(args, |cidr| {
        let holds = |inner: &Cidr| cidr.contains(inner.address) && cidr.bits <= inner.bits;
        match args.get(1) {
            Some(Value::String(text)) => Ok(Value::Bool(holds(&parse_cidr(text)?))),
            other => with_cidr(other.map(std::slice::from_ref).unwrap_or_default(), |inner| {
                Ok(Value::Bool(holds(inner)))
            }),
        }
    })
}
pub(in crate::cel) fn prefix_length<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    with_cidr(args, |cidr| Ok(Value::Int(i64::from(cidr.bits))))
}
pub(in crate::cel) fn masked<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    with_cidr(args, |cidr| {
        Ok(made(Kube::Cidr(Cidr { address: network(cidr.address, cidr.bits), bits: cidr.bits })))
    })
}
