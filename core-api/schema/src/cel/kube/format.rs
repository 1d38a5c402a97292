//! Named formats: `format.dns1123Label().validate(self.name)`.

use super::{Args, Kube, Outcome, made, text};
use crate::{
    cel::{error::Error, machine::Machine, value::Value},
    validate::format::Format as Named,
};
use proa_meta::names;

/// A named format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format(usize);

type Check = fn(&str) -> Vec<String>;

fn uri(text: &str) -> Vec<String> {
    told(Named::Uri, text, &format!("parse {text:?}: invalid URI for request"))
}
fn told(format: Named, text: &str, why: &str) -> Vec<String> {
    if format.matches(text) { Vec::new() } else { vec![why.to_owned()] }
}

/// Name in expressions, length of the pattern that costs count, check.
const FORMATS: [(&str, u64, Check); 13] = [
    ("dns1123Label", 30, |text| names::name_is_dns_label(text, false)),
    ("dns1123Subdomain", 60, |text| names::name_is_dns_subdomain(text, false)),
    ("dns1035Label", 30, |text| names::name_is_dns1035_label(text, false)),
    ("qualifiedName", 60, names::is_qualified_name),
    ("dns1123LabelPrefix", 30, |text| names::name_is_dns_label(text, true)),
    ("dns1123SubdomainPrefix", 60, |text| names::name_is_dns_subdomain(text, true)),
    ("dns1035LabelPrefix", 30, |text| names::name_is_dns1035_label(text, true)),
    ("labelValue", 40, names::is_label_value),
    ("uri", 1103, uri),
    ("uuid", 95, |text| told(Named::Uuid(None), text, "does not match the UUID format")),
    ("byte", 84, |text| told(Named::Byte, text, "invalid base64")),
    ("date", 137, |text| told(Named::Date, text, "invalid date")),
    ("datetime", 137, |text| told(Named::DateTime, text, "invalid datetime")),
];

impl Format {
    /// By the name that expressions use.
    pub(in crate::cel) fn named(name: &str) -> Option<Self> {
        FORMATS.iter().position(|(known, _, _)| *known == name).map(Self)
    }
    fn entry(self) -> Option<&'static (&'static str, u64, Check)> {
        FORMATS.get(self.0)
    }
    pub(in crate::cel) fn name(self) -> &'static str {
        self.entry().map_or("", |(name, _, _)| name)
    }
    pub(in crate::cel) fn pattern_size(self) -> u64 {
        self.entry().map_or(1, |(_, size, _)| *size)
    }
    /// As a value.
    pub(in crate::cel) fn value<'a>(self) -> Value<'a> {
        made(Kube::Format(self))
    }
}

pub(in crate::cel) fn named<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(match Format::named(text(args, 0)?) {
        Some(format) => Value::some(format.value()),
        None => Value::Optional(None),
    })
}
pub(in crate::cel) fn validate<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let Some(Value::Kube(kube)) = args.first() else { return Err(Error::NoSuchOverload) };
    let Kube::Format(format) = &**kube else { return Err(Error::NoSuchOverload) };
    let text = text(args, 1)?;
    m.work(text.len())?;
    let problems = format.entry().map(|(_, _, check)| check(text)).unwrap_or_default();
    Ok(match problems.is_empty() {
        true => Value::Optional(None),
        false => Value::some(Value::list(problems.into_iter().map(Value::text).collect())),
    })
}
