//! Values of Kubernetes' own libraries: quantities, versions, addresses, URLs, named formats.
//!
//! Upstream: apiserver `pkg/cel/{quantity,semver,ip,cidr,url,format}.go` and `pkg/cel/library`.

use super::{error::Error, machine::Machine, value::Value};
use proa_meta::quantity::Quantity;
use std::{cmp::Ordering, fmt, net::IpAddr, sync::Arc};

mod address;
mod format;
mod semver;
mod url;

pub(super) use address::{
    cidr, contains_cidr, contains_ip, family, ip, is_canonical, is_cidr, is_global_unicast, is_ip,
    is_link_local_multicast, is_link_local_unicast, is_loopback, is_unspecified, masked, prefix_length,
};
pub(super) use format::{Format, named, validate};
pub(super) use semver::{is_semver, major, minor, patch, semver};
pub(super) use url::{escaped_path, host, hostname, is_url, port, query, scheme, url};

use address::Cidr;
use semver::Semver;
use url::Url;

type Outcome<'a> = Result<Value<'a>, Error>;
type Args<'s, 'a> = &'s [Value<'a>];

/// A value of Kubernetes' own libraries.
#[derive(Debug, PartialEq)]
pub enum Kube {
    /// `kubernetes.Quantity`.
    Quantity(Quantity),
    /// `kubernetes.Semver`.
    Semver(Semver),
    /// `net.IP`.
    Ip(IpAddr),
    /// `net.CIDR`.
    Cidr(Cidr),
    /// `kubernetes.URL`.
    Url(Url),
    /// `kubernetes.NamedFormat`.
    Format(Format),
}

impl Kube {
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Url(_) => "kubernetes.URL",
            Self::Format(_) => "kubernetes.NamedFormat",
        }
    }
    /// Bytes of addresses.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Ip(address) | Self::Cidr(Cidr { address, .. }) => match address {
                IpAddr::V4(_) => 4,
                IpAddr::V6(_) => 16,
            },
            _ => 1,
        }
    }
}

impl fmt::Display for Kube {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantity(quantity) => quantity.fmt(f),
            Self::Semver(version) => version.fmt(f),
            Self::Ip(address) => address.fmt(f),
            Self::Cidr(cidr) => cidr.fmt(f),
            Self::Url(url) => f.write_str(&url.text),
            Self::Format(format) => f.write_str(format.name()),
        }
    }
}

fn made<'a>(kube: Kube) -> Value<'a> {
    Value::Kube(Arc::new(kube))
}
fn text<'s>(args: &'s [Value<'_>], i: usize) -> Result<&'s str, Error> {
    args.get(i).and_then(Value::as_str).ok_or(Error::NoSuchOverload)
}

fn as_quantity(args: Args<'_, '_>, i: usize) -> Result<Quantity, Error> {
    match args.get(i) {
        Some(Value::Kube(kube)) => match &**kube {
            Kube::Quantity(quantity) => Ok(*quantity),
            _ => Err(Error::NoSuchOverload),
        },
        Some(Value::Int(number)) => Ok(Quantity::new(*number, proa_meta::quantity::Format::DecimalSi)),
        _ => Err(Error::NoSuchOverload),
    }
}

pub(super) fn quantity<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let parsed = Quantity::parse(text(args, 0)?).map_err(|why| Error::new(why.to_string()))?;
    Ok(made(Kube::Quantity(parsed)))
}
pub(super) fn is_quantity<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(Quantity::parse(text(args, 0)?).is_ok()))
}
pub(super) fn sign<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let quantity = as_quantity(args, 0)?;
    Ok(Value::Int(if quantity.is_zero() {
        0
    } else if quantity.is_negative() {
        -1
    } else {
        1
    }))
}
/// The number, if it is whole and no larger than an `int`.
fn whole(quantity: Quantity) -> Option<i64> {
    let number = quantity.value();
    (Quantity::new(number, quantity.format()) == quantity).then_some(number)
}
pub(super) fn is_integer<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(whole(as_quantity(args, 0)?).is_some()))
}
pub(super) fn as_integer<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let number = whole(as_quantity(args, 0)?);
    number.map(Value::Int).ok_or_else(|| Error::new("cannot convert value to integer"))
}
pub(super) fn as_float<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Double(as_quantity(args, 0)?.as_f64()))
}
pub(super) fn add<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(made(Kube::Quantity(as_quantity(args, 0)? + as_quantity(args, 1)?)))
}
pub(super) fn sub<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(made(Kube::Quantity(as_quantity(args, 0)? - as_quantity(args, 1)?)))
}

/// Quantities among each other, versions among each other.
fn order(args: Args<'_, '_>) -> Result<Ordering, Error> {
    let [Value::Kube(a), Value::Kube(b)] = args else { return Err(Error::NoSuchOverload) };
    match (&**a, &**b) {
        (Kube::Quantity(a), Kube::Quantity(b)) => Ok(a.cmp(b)),
        (Kube::Semver(a), Kube::Semver(b)) => Ok(a.precedence(b)),
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn is_greater<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(order(args)?.is_gt()))
}
pub(super) fn is_less<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(order(args)?.is_lt()))
}
pub(super) fn compare<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Int(match order(args)? {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}
