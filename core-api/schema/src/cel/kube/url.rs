//! Absolute URLs and absolute paths.

use super::{Args, Kube, Outcome, made, text};
use crate::{
    cel::{
        error::Error,
        machine::Machine,
        value::{Key, Map, Value},
    },
    validate::format::Format,
};
use std::{collections::BTreeMap, sync::Arc};

/// A URL and its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Url {
    pub(super) text: Box<str>,
    scheme: Box<str>,
    host: Box<str>,
    path: Box<str>,
    query: Box<str>,
}

fn parse(text: &str) -> Result<Url, Error> {
    if !Format::Uri.matches(text) {
        return Err(Error::new(format!(
            "URL parse error during conversion from string: parse {text:?}: invalid URI for request"
        )));
    }
    let rest = text.split('#').next().unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, tail)) if !scheme.contains('/') => (scheme.to_ascii_lowercase(), tail),
        _ => (String::new(), rest),
    };
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let host = host.rsplit('@').next().unwrap_or_default();
    Ok(Url {
        text: text.into(),
        scheme: scheme.into(),
        host: host.into(),
        path: path.into(),
        query: query.into(),
    })
}

impl Url {
    /// Host and port, brackets of addresses taken off.
    fn parts(&self) -> (&str, &str) {
        let end = self.host.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match self.host.get(end..).and_then(|rest| rest.rfind(':')) {
            Some(colon) => (&self.host[..end + colon], &self.host[end + colon + 1..]),
            None => (&*self.host, ""),
        };
        (host.trim_start_matches('[').trim_end_matches(']'), port)
    }
}

/// `%20` and `+` are spaces.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(byte) = bytes.get(i) {
        match (byte, digit(i + 1), digit(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                i += 2;
            }
            (b'+', _, _) => out.push(b' '),
            _ => out.push(*byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn with_url<'a>(args: Args<'_, '_>, of: impl FnOnce(&Url) -> &str) -> Outcome<'a> {
    let Some(Value::Kube(kube)) = args.first() else { return Err(Error::NoSuchOverload) };
    let Kube::Url(url) = &**kube else { return Err(Error::NoSuchOverload) };
    Ok(Value::text(of(url)))
}

pub(in crate::cel) fn url<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let text = text(args, 0)?;
    m.allocate(text.len() * 2)?;
    Ok(made(Kube::Url(parse(text)?)))
}
pub(in crate::cel) fn is_url<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let text = text(args, 0)?;
    m.work(text.len())?;
    Ok(Value::Bool(Format::Uri.matches(text)))
}
pub(in crate::cel) fn scheme<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    with_url(args, |url| &url.scheme)
}
pub(in crate::cel) fn host<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    with_url(args, |url| &url.host)
}
pub(in crate::cel) fn hostname<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    with_url(args, |url| url.parts().0)
}
pub(in crate::cel) fn port<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    with_url(args, |url| url.parts().1)
}
pub(in crate::cel) fn escaped_path<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    with_url(args, |url| &url.path)
}
pub(in crate::cel) fn query<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let Some(Value::Kube(kube)) = args.first() else { return Err(Error::NoSuchOverload) };
    let Kube::Url(url) = &**kube else { return Err(Error::NoSuchOverload) };
    m.allocate(url.query.len() * 8)?;
    let mut found: BTreeMap<Key, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.entry(Key::String(decoded(name).into())).or_default().push(Value::text(decoded(value)));
    }
    let map = found.into_iter().map(|(name, values)| (name, Value::list(values))).collect();
    Ok(Value::Map(Map::Owned(Arc::new(map))))
}
