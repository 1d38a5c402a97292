//! A JSON value together with its field path: what validators and row functions walk.
//!
//! Absent, `null` and a wrong type read as the zero value, as Go's types do. Nothing allocates before an error is
//! written. Checks return whether they passed where callers need to know.

use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value;

static NULL: Value = Value::Null;

/// A value and where it is.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'v, 'p> {
    value: &'v Value,
    path: FieldPath<'p>,
}

impl<'v> Cursor<'v, 'static> {
    /// A whole object.
    pub(crate) const fn root(value: &'v Value) -> Self {
        Self { value, path: FieldPath::root("") }
    }
}

impl<'v, 'p> Cursor<'v, 'p> {
    /// A value at a path.
    pub(crate) const fn at(value: &'v Value, path: FieldPath<'p>) -> Self {
        Self { value, path }
    }
    /// A named field, null when absent.
    pub(crate) fn get<'b>(&'b self, name: &'b str) -> Cursor<'v, 'b> {
        Cursor { value: self.value.get(name).unwrap_or(&NULL), path: self.path.child(name) }
    }
    /// A map entry, null when absent; the path has the key in brackets.
    pub(crate) fn key<'b>(&'b self, key: &'b str) -> Cursor<'v, 'b> {
        Cursor { value: self.value.get(key).unwrap_or(&NULL), path: self.path.key(key) }
    }
    /// A named field, unless it is absent or null.
    pub(crate) fn present<'b>(&'b self, name: &'b str) -> Option<Cursor<'v, 'b>> {
        Some(self.get(name)).filter(Cursor::is_set)
    }
    /// The elements of a list.
    pub(crate) fn items<'b>(&'b self) -> impl Iterator<Item = Cursor<'v, 'b>> + use<'v, 'b, 'p> {
        let place = move |(i, value)| Cursor { value, path: self.path.index(i) };
        self.list().iter().enumerate().map(place)
    }
    /// The entries of a map.
    pub(crate) fn entries<'b>(&'b self) -> impl Iterator<Item = (&'v str, Cursor<'v, 'b>)> + use<'v, 'b, 'p>
    where
        'v: 'b,
    {
        let place = move |(k, value): (&'v String, &'v Value)| {
            (k.as_str(), Cursor { value, path: self.path.key(k.as_str()) })
        };
        self.value.as_object().into_iter().flatten().map(place)
    }
    /// The same path with another value, for errors that show something else.
    pub(crate) const fn with<'w>(self, value: &'w Value) -> Cursor<'w, 'p> {
        Cursor { value, path: self.path }
    }

    /// The value.
    pub(crate) const fn value(&self) -> &'v Value {
        self.value
    }
    /// The path.
    pub(crate) const fn path(&self) -> &FieldPath<'p> {
        &self.path
    }
    /// Neither absent nor null.
    pub(crate) fn is_set(&self) -> bool {
        !self.value.is_null()
    }
    /// Text, empty when absent.
    pub(crate) fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or("")
    }
    /// Text of a field, empty when absent.
    pub(crate) fn text_of(&self, name: &str) -> &'v str {
        self.value.get(name).and_then(Value::as_str).unwrap_or("")
    }
    /// Number of a field, zero when absent.
    pub(crate) fn int_of(&self, name: &str) -> i64 {
        self.value.get(name).and_then(Value::as_i64).unwrap_or(0)
    }
    /// Number, zero when absent.
    pub(crate) fn int(&self) -> i64 {
        self.value.as_i64().unwrap_or(0)
    }
    /// Number, when there is one.
    pub(crate) fn opt_int(&self) -> Option<i64> {
        self.value.as_i64()
    }
    /// `true`.
    pub(crate) fn is_true(&self) -> bool {
        self.value.as_bool().unwrap_or(false)
    }
    /// Elements, none when it is no list.
    pub(crate) fn list(&self) -> &'v [Value] {
        self.value.as_array().map_or(&[], Vec::as_slice)
    }
    /// Absent, or an empty text, list or map.
    pub(crate) fn is_empty(&self) -> bool {
        crate::fill::is_empty(self.value)
    }

    /// `Required value`.
    pub(crate) fn required(&self, errors: &mut FieldErrors, detail: &str) {
        errors.required(&self.path, detail);
    }
    /// `Forbidden`.
    pub(crate) fn forbidden(&self, errors: &mut FieldErrors, detail: &str) {
        errors.forbidden(&self.path, detail);
    }
    /// `Invalid value`, shown as it is; absence shows as an empty text.
    pub(crate) fn invalid(&self, errors: &mut FieldErrors, detail: &str) {
        match self.value {
            Value::Null => errors.invalid(&self.path, &Value::from(""), detail),
            value => errors.invalid(&self.path, value, detail),
        }
    }
    /// `Invalid value` once per message; true when there was none.
    pub(crate) fn invalid_each(&self, errors: &mut FieldErrors, messages: &[String]) -> bool {
        messages.iter().for_each(|message| self.invalid(errors, message));
        messages.is_empty()
    }
    /// `Duplicate value`.
    pub(crate) fn duplicate(&self, errors: &mut FieldErrors) {
        errors.duplicate(&self.path, self.value);
    }
    /// `Not found`.
    pub(crate) fn not_found(&self, errors: &mut FieldErrors) {
        errors.not_found(&self.path, self.value);
    }
    /// `Unsupported value`.
    pub(crate) fn unsupported(&self, errors: &mut FieldErrors, supported: &[&str]) {
        match self.value {
            Value::Null => errors.not_supported(&self.path, &Value::from(""), supported),
            value => errors.not_supported(&self.path, value, supported),
        }
    }

    /// A text that must be there.
    pub(crate) fn must_be_set(&self, errors: &mut FieldErrors) -> bool {
        let empty = self.is_empty();
        if empty {
            self.required(errors, "");
        }
        !empty
    }
    /// One of these; absence is `Required value`.
    pub(crate) fn one_of(&self, errors: &mut FieldErrors, supported: &[&str]) -> bool {
        self.must_be_set(errors) && self.enumeration(errors, supported)
    }
    /// One of these when set at all.
    pub(crate) fn opt_one_of(&self, errors: &mut FieldErrors, supported: &[&str]) -> bool {
        !self.is_set() || self.enumeration(errors, supported)
    }
    /// One of these; the empty text is unsupported like any other.
    pub(crate) fn enumeration(&self, errors: &mut FieldErrors, supported: &[&str]) -> bool {
        let known = supported.contains(&self.text());
        if !known {
            self.unsupported(errors, supported);
        }
        known
    }
    /// A text that passes `check`.
    pub(crate) fn named(&self, errors: &mut FieldErrors, check: fn(&str) -> Vec<String>) -> bool {
        self.invalid_each(errors, &check(self.text()))
    }
    /// As [`Self::named`] when not empty.
    pub(crate) fn opt_named(&self, errors: &mut FieldErrors, check: fn(&str) -> Vec<String>) -> bool {
        self.is_empty() || self.named(errors, check)
    }
    /// Zero or more, when set.
    pub(crate) fn non_negative(&self, errors: &mut FieldErrors) {
        if self.int() < 0 {
            self.invalid(errors, NEGATIVE);
        }
    }
    /// More than zero.
    pub(crate) fn positive(&self, errors: &mut FieldErrors) {
        if self.int() <= 0 {
            errors.invalid(&self.path, &Value::from(self.int()), "must be greater than zero");
        }
    }
    /// A number that passes `check`, when set.
    pub(crate) fn number(&self, errors: &mut FieldErrors, check: fn(i64) -> Vec<String>) {
        if let Some(number) = self.opt_int() {
            self.invalid_each(errors, &check(number));
        }
    }
    /// Equal to the old value.
    pub(crate) fn immutable(&self, old: &Cursor<'_, '_>, errors: &mut FieldErrors) {
        if !crate::fill::same(self.value, old.value) {
            errors.invalid(&self.path, self.value, IMMUTABLE);
        }
    }
    /// The same for a rule that upstream declares on the type: those do not show the value.
    pub(crate) fn declared_immutable(&self, old: &Cursor<'_, '_>, errors: &mut FieldErrors) {
        if !crate::fill::same(self.value, old.value) {
            errors.invalid(&self.path, &NULL, IMMUTABLE);
        }
    }
}

/// Text of a negative number where none may be.
pub(crate) const NEGATIVE: &str = "must be greater than or equal to 0";
/// Text of a changed value that may not change.
pub(crate) const IMMUTABLE: &str = "field is immutable";
