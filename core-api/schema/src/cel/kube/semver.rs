//! Versions: `major.minor.patch-pre+build`.

use super::{Args, Kube, Outcome, made, text};
use crate::cel::{error::Error, machine::Machine, value::Value};
use std::{cmp::Ordering, fmt};

/// A version. Equal when neither precedes the other.
#[derive(Debug)]
pub struct Semver {
    numbers: [u64; 3],
    before: Vec<Identifier>,
    build: Vec<Box<str>>,
}

/// A part of what stands behind the dash.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(Box<str>),
}

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        self.precedence(other) == Ordering::Equal
    }
}

impl Semver {
    fn parse(source: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::new(format!("{what} in version {source:?}"));
        let (rest, build) =
            source.split_once('+').map_or((source, None), |(head, build)| (head, Some(build)));
        let (core, before) = rest.split_once('-').map_or((rest, None), |(head, tail)| (head, Some(tail)));
        let mut numbers = [0; 3];
        let mut parts = core.split('.');
        for number in &mut numbers {
            let part = parts.next().ok_or_else(|| Error::new("No Major.Minor.Patch elements found"))?;
            *number = whole(part).ok_or_else(|| wrong("invalid character(s) found"))?;
        }
        if parts.next().is_some() {
            return Err(wrong("invalid character(s) found in patch number"));
        }
        let valid =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let mut identifiers = Vec::new();
        for part in before.into_iter().flat_map(|text| text.split('.')) {
            if !valid(part) {
                return Err(wrong("invalid prerelease"));
            }
            identifiers.push(match part.bytes().all(|b| b.is_ascii_digit()) {
                true => Identifier::Number(whole(part).ok_or_else(|| wrong("leading zeroes in prerelease"))?),
                false => Identifier::Text(part.into()),
            });
        }
        let build: Vec<Box<str>> =
            build.into_iter().flat_map(|text| text.split('.')).map(Into::into).collect();
        if !build.iter().all(|part| valid(part)) {
            return Err(wrong("invalid build metadata"));
        }
        Ok(Self { numbers, before: identifiers, build })
    }

    /// A version before a release comes before it; builds do not count.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        let released = |version: &Self| version.before.is_empty();
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| released(self).cmp(&released(other)))
            .then_with(|| self.before.cmp(&other.before))
    }
}

/// Digits without leading zeros.
fn whole(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

/// `v1.02` becomes `1.2.0`.
fn normalized(text: &str) -> Result<String, Error> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(str::to_owned).collect();
    for part in parts.iter_mut().filter(|part| part.len() > 1) {
        let trimmed = part.trim_start_matches('0');
        *part = match trimmed.starts_with(|c: char| c.is_ascii_digit()) {
            true => trimmed.to_owned(),
            false => format!("0{trimmed}"),
        };
    }
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err(Error::new("short version cannot contain PreRelease/Build meta data"));
    }
    parts.resize(parts.len().max(3), "0".to_owned());
    Ok(parts.join("."))
}

impl fmt::Display for Semver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        for (i, part) in self.before.iter().enumerate() {
            f.write_str(if i == 0 { "-" } else { "." })?;
            match part {
                Identifier::Number(number) => number.fmt(f)?,
                Identifier::Text(text) => f.write_str(text)?,
            }
        }
        for (i, part) in self.build.iter().enumerate() {
            write!(f, "{}{part}", if i == 0 { "+" } else { "." })?;
        }
        Ok(())
    }
}

fn read(args: Args<'_, '_>) -> Result<Semver, Error> {
    let source = text(args, 0)?;
    match args.get(1) {
        None | Some(Value::Bool(false)) => Semver::parse(source),
        Some(Value::Bool(true)) => Semver::parse(&normalized(source)?),
        Some(_) => Err(Error::NoSuchOverload),
    }
}

pub(in crate::cel) fn semver<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    read(args).map(|version| made(Kube::Semver(version)))
}
pub(in crate::cel) fn is_semver<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    match read(args) {
        Err(Error::NoSuchOverload) => Err(Error::NoSuchOverload),
        read => Ok(Value::Bool(read.is_ok())),
    }
}
fn number<'a>(args: Args<'_, '_>, i: usize) -> Outcome<'a> {
    let Some(Value::Kube(kube)) = args.first() else { return Err(Error::NoSuchOverload) };
    let Kube::Semver(version) = &**kube else { return Err(Error::NoSuchOverload) };
    let number = version.numbers.get(i).copied().unwrap_or_default();
    Ok(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)))
}
pub(in crate::cel) fn major<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    number(args, 0)
}
pub(in crate::cel) fn minor<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    number(args, 1)
}
pub(in crate::cel) fn patch<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    number(args, 2)
}
