//! Probes and lifecycle hooks.

use super::Context;
use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};
use serde_json::Value;

#[rustfmt::skip]
const SIGNALS: [&str; 65] = [
    "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT",
    "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX",
    "SIGRTMAX-1", "SIGRTMAX-10", "SIGRTMAX-11", "SIGRTMAX-12", "SIGRTMAX-13", "SIGRTMAX-14", "SIGRTMAX-2",
    "SIGRTMAX-3", "SIGRTMAX-4", "SIGRTMAX-5", "SIGRTMAX-6", "SIGRTMAX-7", "SIGRTMAX-8", "SIGRTMAX-9",
    "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14",
    "SIGRTMIN+15", "SIGRTMIN+2", "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5", "SIGRTMIN+6", "SIGRTMIN+7",
    "SIGRTMIN+8", "SIGRTMIN+9", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP",
    "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ",
];

/// The three probes of a container.
pub(super) fn probes(container: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(at) = container.present(name) else { continue };
        probe(&at, context, errors);
        let (threshold, grace) = (at.get("successThreshold"), at.get("terminationGracePeriodSeconds"));
        if name == "readinessProbe" {
            if grace.is_set() {
                grace.invalid(errors, "must not be set for readinessProbes");
            }
        } else if threshold.int() != 1 {
            threshold.with(&threshold.int().into()).invalid(errors, "must be 1");
        }
    }
}

fn probe(at: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    handler(at, &["exec", "httpGet", "tcpSocket", "grpc"], context, errors);
    let numbers =
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    for name in numbers {
        at.get(name).non_negative(errors);
    }
    let grace = at.get("terminationGracePeriodSeconds");
    if grace.opt_int().is_some_and(|seconds| seconds <= 0) {
        grace.invalid(errors, "must be greater than 0");
    }
}

/// `lifecycle` of a container.
pub(super) fn lifecycle(at: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    for name in ["postStart", "preStop"] {
        if let Some(hook) = at.present(name) {
            handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], context, errors);
        }
    }
    if let Some(signal) = at.present("stopSignal") {
        match context.os {
            None => signal.forbidden(errors, "may not be set for containers with empty `spec.os.name`"),
            Some("windows") => {
                signal.enumeration(errors, &["SIGKILL", "SIGTERM"]);
            }
            Some("linux") => {
                signal.enumeration(errors, &SIGNALS);
            }
            Some(_) => {}
        }
    }
}

fn handler(at: &Cursor<'_, '_>, kinds: &[&str], context: &Context<'_>, errors: &mut FieldErrors) {
    let mut found = false;
    for kind in kinds {
        let Some(action) = at.present(kind) else { continue };
        match *kind {
            _ if found => action.forbidden(errors, "may not specify more than 1 handler type"),
            "exec" => {
                action.get("command").must_be_set(errors);
            }
            "httpGet" => http_get(&action, errors),
            "sleep" => sleep(&action, context, errors),
            _ => port(&action.get("port"), errors),
        }
        found = true;
    }
    if !found {
        at.required(errors, "must specify a handler type");
    }
}

fn http_get(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    at.get("path").must_be_set(errors);
    port(&at.get("port"), errors);
    at.get("scheme").enumeration(errors, &["HTTP", "HTTPS"]);
    let headers = at.get("httpHeaders");
    for header in headers.items() {
        headers.with(header.get("name").value()).named(errors, names::is_http_header_name);
    }
}

fn sleep(at: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let Some(grace) = context.grace else { return };
    let seconds = at.int_of("seconds");
    if !(0..=grace).contains(&seconds) {
        let text = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        at.with(&seconds.into()).invalid(errors, &text);
    }
}

/// A port's number or name.
pub(crate) fn port(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    match at.value() {
        Value::String(name) => {
            at.invalid_each(errors, &names::is_valid_port_name(name));
        }
        _ => {
            let number = at.int();
            at.with(&number.into()).invalid_each(errors, &names::is_valid_port_num(number));
        }
    }
}
