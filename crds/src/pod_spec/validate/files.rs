//! Paths and modes of files inside volumes.

use crate::cursor::Cursor;
use proa_meta::FieldErrors;

const MODE_TEXT: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// Permission bits, when set.
pub(super) fn mode(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if at.opt_int().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        at.invalid(errors, MODE_TEXT);
    }
}

/// No `..` component.
pub(super) fn no_backsteps(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if has_backsteps(at.text()) {
        at.invalid(errors, "must not contain '..'");
    }
}

/// Whether a component is `..`.
pub(super) fn has_backsteps(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// Relative, and no `..` component.
pub(super) fn descending(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if at.text().starts_with('/') {
        at.invalid(errors, "must be a relative path");
    }
    no_backsteps(at, errors);
}

/// As [`descending`], and not starting with `..`, which volumes use themselves.
pub(super) fn not_reserved(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    descending(at, errors);
    if at.text().starts_with("..") && !at.text().starts_with("../") {
        at.invalid(errors, "must not start with '..'");
    }
}

/// `items` of a ConfigMap or Secret volume.
pub(super) fn key_to_path(item: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    item.get("key").must_be_set(errors);
    let path = item.get("path");
    path.must_be_set(errors);
    not_reserved(&path, errors);
    mode(&item.get("mode"), errors);
}
