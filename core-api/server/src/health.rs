//! `/healthz`, `/livez` and `/readyz`.
//!
//! Owns the list of checks and how their outcome reads. A failure's reason is logged and withheld from the answer,
//! for the endpoints are public. Upstream: apiserver `pkg/server/healthz/healthz.go`.

use crate::{
    api::{Body, Response},
    query::Query,
    respond,
};
use bytes::Bytes;
use http::StatusCode;
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// One check: nothing, or what is wrong.
pub type CheckFn = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A named check and where it counts.
#[derive(Clone)]
struct Check {
    name: &'static str,
    on: On,
    run: CheckFn,
}

/// Which endpoints a check belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// All three.
    Everywhere,
    /// Only `/readyz`.
    Ready,
}

/// The checks of a server. Cheap to clone; clones share the shutdown mark.
#[derive(Clone)]
pub struct Health {
    checks: Vec<Check>,
    stopping: Arc<AtomicBool>,
}

impl Default for Health {
    fn default() -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopping);
        let fine = |name| Check { name, on: On::Everywhere, run: Arc::new(|| Ok(())) };
        let shutdown = Check {
            name: "shutdown",
            on: On::Ready,
            run: Arc::new(move || match seen.load(Ordering::Relaxed) {
                true => Err("process is shutting down".to_owned()),
                false => Ok(()),
            }),
        };
        Self { checks: vec![fine("ping"), fine("log"), shutdown], stopping }
    }
}

impl Health {
    /// Adds a check before the one of the shutdown.
    #[must_use]
    pub fn with(mut self, name: &'static str, on: On, run: CheckFn) -> Self {
        let before_shutdown = self.checks.len() - 1;
        self.checks.insert(before_shutdown, Check { name, on, run });
        self
    }
    /// From now on the server is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
    /// Answers `/NAME` or `/NAME/CHECK`; `None` when there is no such path.
    pub(crate) fn answer(&self, path: &str, query: &Query<'_>) -> Option<Response> {
        let (endpoint, check) = match path.trim_matches('/').split_once('/') {
            None => (path.trim_matches('/'), None),
            Some((endpoint, check)) => (endpoint, Some(check)),
        };
        if !matches!(endpoint, "healthz" | "livez" | "readyz") {
            return None;
        }
        let mut checks = self.checks.iter().filter(|c| c.on == On::Everywhere || endpoint == "readyz");
        match check {
            None => Some(all(endpoint, checks, query)),
            Some(name) => checks.find(|c| c.name == name).map(one),
        }
    }
}

fn one(check: &Check) -> Response {
    match (check.run)() {
        Ok(()) => text(StatusCode::OK, "ok".to_owned()),
        Err(why) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
    }
}

fn all<'a>(endpoint: &str, checks: impl Iterator<Item = &'a Check>, query: &Query<'_>) -> Response {
    let mut unmatched: Vec<&str> = query.all("exclude").collect();
    unmatched.sort_unstable();
    unmatched.dedup();
    let excluded = unmatched.clone();
    let (mut report, mut failed) = (String::new(), false);
    for check in checks {
        if excluded.contains(&check.name) {
            unmatched.retain(|name| *name != check.name);
            let _ = writeln!(report, "[+]{} excluded: ok", check.name);
        } else if let Err(why) = (check.run)() {
            failed = true;
            tracing::warn!(check = check.name, endpoint, why, "health check failed");
            let _ = writeln!(report, "[-]{} failed: reason withheld", check.name);
        } else {
            let _ = writeln!(report, "[+]{} ok", check.name);
        }
    }
    if !unmatched.is_empty() {
        let names: Vec<_> = unmatched.iter().map(|n| format!("{n:?}")).collect();
        let _ = writeln!(
            report,
            "warn: some health checks cannot be excluded: no matches for {}",
            names.join(",")
        );
    }
    if failed {
        let _ = writeln!(report, "{endpoint} check failed");
        return text(StatusCode::INTERNAL_SERVER_ERROR, report);
    }
    if query.has("verbose") {
        let _ = writeln!(report, "{endpoint} check passed");
        return text(StatusCode::OK, report);
    }
    text(StatusCode::OK, "ok".to_owned())
}

fn text(status: StatusCode, body: String) -> Response {
    respond::with_type(status, "text/plain; charset=utf-8", Body::Whole(Bytes::from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(health: &Health, path: &str, query: &str) -> (u16, String) {
        let response = health.answer(path, &Query::parse(Some(query))).unwrap();
        let Body::Whole(bytes) = response.body else { panic!("small bodies are whole") };
        (response.status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn readiness_ends_with_shutdown_and_liveness_does_not() {
        let health = Health::default();
        assert_eq!(ask(&health, "/readyz", ""), (200, "ok".to_owned()));
        health.stop();
        let (code, report) = ask(&health, "/readyz", "");
        assert_eq!(code, 500);
        assert!(report.contains("[-]shutdown failed: reason withheld\n"));
        assert!(report.ends_with("readyz check failed\n"));
        assert_eq!(ask(&health, "/livez", "").0, 200);
        assert_eq!(ask(&health, "/readyz", "exclude=shutdown").0, 200);
    }

    #[test]
    fn single_checks_and_verbose_reports() {
        let health = Health::default().with("etcd", On::Everywhere, Arc::new(|| Err("gone".to_owned())));
        assert_eq!(ask(&health, "/livez/etcd", ""), (500, "internal server error: gone\n".to_owned()));
        assert_eq!(ask(&health, "/livez/ping", "").0, 200);
        assert!(health.answer("/livez/none", &Query::parse(None)).is_none());
        let (_, report) = ask(&health, "/healthz", "verbose&exclude=etcd&exclude=zzz");
        assert!(report.starts_with("[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\n"));
        assert!(report.contains("no matches for \"zzz\""));
    }
}
