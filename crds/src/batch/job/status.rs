//! Changes of a job's status: it only moves forward, and its parts agree.
//!
//! Most rules look only at what a write changed, so that old objects stay writable.
//! Upstream: `ValidateJobStatusUpdate`, `getStatusValidationOptions`.

use crate::{cursor::Cursor, fill::same, table};
use jiff::Timestamp;
use proa_meta::{FieldError, FieldErrors, field::Problem};
use serde_json::Value;
use std::collections::BTreeSet;

/// `Invalid value` without a value.
pub(super) fn wrong(at: &Cursor<'_, '_>, text: &str, errors: &mut FieldErrors) {
    errors.push(FieldError {
        problem: Problem::Invalid,
        field: at.path().to_string(),
        body: format!("Invalid value: {text}"),
    });
}

/// A job before and after.
struct Change<'a> {
    new: &'a Value,
    old: &'a Value,
}

impl Change<'_> {
    /// Whether one of these status fields differs.
    fn of(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| !same(&self.new["status"][*field], &self.old["status"][*field]))
    }
    fn is(&self, condition: &str) -> bool {
        table::condition(self.new, condition) == "True"
    }
    fn was(&self, condition: &str) -> bool {
        table::condition(self.old, condition) == "True"
    }
    /// Whether one of these conditions became true or stopped being it.
    fn turned(&self, conditions: &[&str]) -> bool {
        conditions.iter().any(|condition| self.is(condition) != self.was(condition))
    }
    fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }
    fn turned_finished(&self) -> bool {
        self.is_finished() != (self.was("Complete") || self.was("Failed"))
    }
}

/// Validates a change through `/status`, in upstream's order.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let change = Change { new, old };
    let (now, before) = (Cursor::root(new), Cursor::root(old));
    let (status, old_status) = (now.get("status"), before.get("status"));
    for count in ["active", "succeeded", "failed", "ready", "terminating"] {
        status.get(count).non_negative(errors);
    }
    uncounted(&status.get("uncountedTerminatedPods"), errors);
    outcomes(&change, &status, errors);
    finished(&change, &status, errors);
    indexes(&change, &status, errors);
    running(&change, &status, errors);
    criteria(&change, &status.get("conditions"), errors);
    transitions(&change, &status, &old_status, errors);
}

fn uncounted(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for list in ["succeeded", "failed"] {
        for uid in at.get(list).items() {
            if uid.text().is_empty() {
                uid.invalid(errors, "must not be empty");
            } else if !seen.insert(uid.text()) {
                uid.duplicate(errors);
            }
        }
    }
}

/// What the conditions and times say of the outcome fits together.
fn outcomes(change: &Change<'_>, status: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let at = status.get("conditions");
    let (complete, failed, target) = (change.is("Complete"), change.is("Failed"), change.is("FailureTarget"));
    if change.turned(&["Complete", "Failed"]) && complete && failed {
        wrong(&at, "cannot set Complete=True and Failed=true conditions", errors);
    }
    if change.turned(&["Complete", "FailureTarget"]) && complete && target {
        wrong(&at, "cannot set Complete=True and FailureTarget=true conditions", errors);
    }
    times(change, status, errors);
    if (change.turned(&["Failed"]) || change.of(&["failedIndexes"])) && failed && !target {
        let text = "cannot set Failed=True condition without the FailureTarget=true condition";
        wrong(&at, text, errors);
    }
    let criteria = change.is("SuccessCriteriaMet");
    if change.turned(&["Complete", "SuccessCriteriaMet"]) && complete && !criteria {
        let text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        wrong(&at, text, errors);
    }
}

fn times(change: &Change<'_>, status: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (start, end) = (status.get("startTime"), status.get("completionTime"));
    let touched = change.turned(&["Complete"]) || change.of(&["completionTime"]);
    match (touched, end.is_set(), change.is("Complete")) {
        (true, true, false) => {
            end.invalid(errors, "cannot set completionTime when there is no Complete=True condition");
        }
        (true, false, true) => end.required(errors, "completionTime is required for Complete jobs"),
        _ => {}
    }
    let time = |at: &Cursor<'_, '_>| at.text().parse::<Timestamp>().ok();
    let backwards = time(&start).zip(time(&end)).is_some_and(|(start, end)| end < start);
    if change.of(&["startTime", "completionTime"]) && backwards {
        end.invalid(errors, "must be equal to or after `startTime`");
    }
}

/// A finished job has nothing left to run or to count.
fn finished(change: &Change<'_>, status: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !change.is_finished() {
        return;
    }
    let turned = change.turned_finished();
    let never_ran = change.new["spec"]["suspend"] == true && change.new["spec"]["completions"] == 0;
    let (active, start) = (status.get("active"), status.get("startTime"));
    let uncounted = status.get("uncountedTerminatedPods");
    if (turned || change.of(&["active"])) && active.int() > 0 {
        active.invalid(errors, "active>0 is invalid for finished job");
    }
    if (turned || change.of(&["startTime"])) && !never_ran && !start.is_set() {
        start.required(errors, "startTime is required for finished job");
    }
    let left = ["failed", "succeeded"].iter().any(|list| !uncounted.get(list).is_empty());
    if (turned || change.of(&["uncountedTerminatedPods"])) && left {
        uncounted.invalid(errors, "must be empty for finished job");
    }
}

fn indexes(change: &Change<'_>, status: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (completed, failed) = (status.get("completedIndexes"), status.get("failedIndexes"));
    let spec = &change.new["spec"];
    let (completed_changed, failed_changed) =
        (change.of(&["completedIndexes"]), change.of(&["failedIndexes"]));
    if let Some(completions) = spec["completions"].as_i64() {
        let mut check = |at: &Cursor<'_, '_>, name: &str| {
            if let Err(problem) = parse_indexes(at.text(), completions) {
                at.invalid(errors, &format!("error parsing {name}: {problem}"));
            }
        };
        if completed_changed {
            check(&completed, "completedIndexes");
        }
        if failed_changed && !spec["backoffLimitPerIndex"].is_null() {
            check(&failed, "failedIndexes");
        }
    }
    if completed_changed && !completed.is_empty() && spec["completionMode"] != "Indexed" {
        let text = "cannot set non-empty completedIndexes when non-indexed completion mode";
        completed.invalid(errors, text);
    }
    if failed_changed && failed.is_set() && spec["backoffLimitPerIndex"].is_null() {
        failed.invalid(errors, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if (completed_changed || failed_changed)
        && let Some(completions) = spec["completions"].as_i64()
        && let Some(index) = overlap(completed.text(), failed.text(), completions)
    {
        failed.invalid(errors, &format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

/// Where two lists, which are in order, meet first; what is malformed in them counts for nothing.
fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| parse_interval(part, completions).ok()).collect()
    };
    let (completed, failed) = (intervals(completed), intervals(failed));
    let (mut one, mut other) = (&completed[..], &failed[..]);
    while let ([a, rest @ ..], [b, others @ ..]) = (one, other) {
        if a.0 <= b.1 && b.0 <= a.1 {
            return Some(a.0.max(b.0));
        }
        if a.0 <= b.0 { one = rest } else { other = others }
    }
    None
}

fn running(change: &Change<'_>, status: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (terminating, ready) = (status.get("terminating"), status.get("ready"));
    let touched = change.turned_finished() || change.of(&["terminating"]);
    if touched && change.is_finished() && terminating.int() > 0 {
        terminating.invalid(errors, "terminating>0 is invalid for finished job");
    }
    if change.of(&["ready", "active"]) && ready.is_set() && ready.int() > status.int_of("active") {
        ready.invalid(errors, "cannot set more ready pods than active");
    }
}

/// A job that has met its criteria does not fail.
fn criteria(change: &Change<'_>, at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let criteria = change.is("SuccessCriteriaMet");
    if criteria && change.is("Failed") {
        wrong(at, "cannot set SuccessCriteriaMet=True and Failed=true conditions", errors);
    }
    if criteria && change.is("FailureTarget") {
        wrong(at, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions", errors);
    }
    if !change.new["spec"]["successPolicy"].is_null() && !criteria && change.is("Complete") {
        let text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        wrong(at, text, errors);
    }
}

/// What was reached stays.
fn transitions(change: &Change<'_>, status: &Cursor<'_, '_>, old: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let at = status.get("conditions");
    for condition in ["Failed", "Complete", "FailureTarget"] {
        if change.was(condition) && !change.is(condition) {
            wrong(&at, &format!("cannot disable the terminal {condition}=True condition"), errors);
        }
    }
    counters(change, status, old, errors);
    let (start, end) = (status.get("startTime"), status.get("completionTime"));
    let old_end = old.get("completionTime");
    if end.is_set() && old_end.is_set() && end.value() != old_end.value() {
        end.invalid(errors, crate::cursor::IMMUTABLE);
    }
    let resuming = change.was("Suspended") && table::condition(change.new, "Suspended") == "False";
    let suspended = change.new["spec"]["suspend"] == true;
    if old.get("startTime").is_set() && change.of(&["startTime"]) && !resuming && !suspended {
        let text = "field is immutable for unsuspended job once set";
        errors.invalid(start.path(), start.value(), text);
    }
    let (criteria, met) = (change.is("SuccessCriteriaMet"), change.was("SuccessCriteriaMet"));
    if met && !criteria {
        wrong(&at, "cannot disable the SuccessCriteriaMet=True condition", errors);
    }
    if change.was("Complete") && !met && criteria {
        let text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        wrong(&at, text, errors);
    }
}

fn counters(change: &Change<'_>, status: &Cursor<'_, '_>, old: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let spec = &change.new["spec"];
    let elastic = spec["completionMode"] == "Indexed" && spec["completions"] == spec["parallelism"];
    for (counter, fixed) in [("failed", true), ("succeeded", !elastic)] {
        let now = status.get(counter);
        if fixed && now.int() < old.int_of(counter) {
            now.with(&now.int().into()).invalid(errors, &format!("cannot decrease the {counter} counter"));
        }
    }
}

/// Intervals of `1,3-5,7`, which increase and stay below `completions`.
pub(super) fn parse_indexes(text: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut intervals: Vec<(i64, i64)> = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = parse_interval(part, completions)?;
        if let Some((_, before)) = intervals.last().filter(|(_, before)| *before >= first) {
            return Err(format!("non-increasing order, previous: {before}, current: {first}"));
        }
        intervals.push((first, last));
    }
    Ok(intervals)
}

fn parse_interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = text.split('-').collect();
    let number = |text: &str| {
        let number: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if number >= completions { Err(format!("too large index: {text:?}")) } else { Ok(number) }
    };
    match limits.as_slice() {
        [one] => number(one).map(|index| (index, index)),
        [first, last] => match (number(first)?, number(last)?) {
            (first, last) if first >= last => {
                Err(format!("non-increasing order, previous: {first}, current: {last}"))
            }
            interval => Ok(interval),
        },
        _ => Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_texts() {
        assert_eq!(parse_indexes("", 5), Ok(vec![]));
        assert_eq!(parse_indexes("0,2-4", 5), Ok(vec![(0, 0), (2, 4)]));
        assert_eq!(parse_indexes("0,5", 5), Err("too large index: \"5\"".to_owned()));
        assert!(parse_indexes("3,2", 5).is_err());
        assert!(parse_indexes("1-2-3", 5).is_err());
        assert_eq!(overlap("0-3", "3", 5), Some(3));
        assert_eq!(overlap("0-2", "3", 5), None);
        let every = |from: i64| (0..60_000).map(|n| (2 * n + from).to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(overlap(&every(0), &every(1), 120_000), None);
        assert_eq!(overlap(&every(0), "1,3,8-9", 120_000), Some(8));
    }
}
