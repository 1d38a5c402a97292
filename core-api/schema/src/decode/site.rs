//! Where the decoder is. A borrowed chain: nothing is allocated until a problem is printed.
//!
//! The same place has two names: strictness writes every step (`spec.containers[0].foo`), Go's type errors write the
//! field names only and put the type that declares the field before them (`Container.spec.containers.image`).

use super::DecodeError;
use std::fmt::Write as _;

#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    parent: Option<&'a Site<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field { owner: &'a str, name: &'a str },
    Index(usize),
    Key(&'a str),
}

impl<'a> Site<'a> {
    pub(super) const ROOT: Site<'static> = Site { parent: None, step: Step::Root };

    /// A named field of the type `owner`.
    pub(super) const fn field<'b>(&'b self, owner: &'b str, name: &'b str) -> Site<'b> {
        Site { parent: Some(self), step: Step::Field { owner, name } }
    }
    pub(super) const fn index<'b>(&'b self, index: usize) -> Site<'b> {
        Site { parent: Some(self), step: Step::Index(index) }
    }
    pub(super) const fn key<'b>(&'b self, key: &'b str) -> Site<'b> {
        Site { parent: Some(self), step: Step::Key(key) }
    }

    /// With all steps.
    pub(super) fn path(&self) -> String {
        let mut text = String::new();
        self.write_path(&mut text);
        text
    }

    fn write_path(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write_path(out);
        }
        match self.step {
            Step::Root => {}
            Step::Field { name, .. } | Step::Key(name) => {
                out.push_str(if out.is_empty() { "" } else { "." });
                out.push_str(name);
            }
            Step::Index(index) => {
                let _ = write!(out, "[{index}]");
            }
        }
    }

    fn write_fields(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write_fields(out);
        }
        if let Step::Field { name, .. } = self.step {
            out.push('.');
            out.push_str(name);
        }
    }

    /// Name of the type that declares the innermost field.
    fn owner(&self) -> &'a str {
        match (self.step, self.parent) {
            (Step::Field { owner, .. }, _) => owner,
            (_, Some(parent)) => parent.owner(),
            (_, None) => "",
        }
    }

    /// `json: cannot unmarshal FOUND into Go struct field TYPE.a.b of type WANTED`.
    #[cold]
    pub(super) fn wrong_type(&self, found: &str, wanted: &str) -> DecodeError {
        let mut fields = String::new();
        self.write_fields(&mut fields);
        if fields.is_empty() {
            return DecodeError(format!("json: cannot unmarshal {found} into Go value of type {wanted}"));
        }
        let owner = self.owner().rsplit('.').next().unwrap_or_default();
        DecodeError(format!(
            "json: cannot unmarshal {found} into Go struct field {owner}{fields} of type {wanted}"
        ))
    }
}

/// The last two parts of an OpenAPI name, as Go prints a type: `v1.Container`.
pub(super) fn package_and_name(type_name: &str) -> &str {
    let mut dots = type_name.rmatch_indices('.').map(|(at, _)| at);
    dots.nth(1).map_or(type_name, |at| &type_name[at + 1..])
}
