//! Answers of upstream's kube-apiserver, recorded by `make diff-upstream` (see `docs/upstream.md`), against the same requests to Proa.
//!
//! In a recorded text, words in angle brackets stand for any text (`<uid>`, `<time>`) and `$ns` for the scenario's
//! namespace. `docs/upstream.md` describes the whole comparison, of which this is a small part.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use http::{Request, header};
use kube::{Client, client::Body};
use proa_test_cluster::Cluster;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

/// How long a step that waits for a code may be repeated.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Scenario {
    name: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    r#do: String,
    #[serde(default)]
    body: Option<Box<serde_json::value::RawValue>>,
    #[serde(default)]
    raw: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    accept: String,
    #[serde(default)]
    r#as: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    save: String,
    #[serde(default)]
    until: u16,
    /// What upstream answered; 0: the step is only sent.
    #[serde(default)]
    code: u16,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    answer: Value,
}

struct Answer {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

/// One scenario on its way.
struct Session {
    client: Client,
    namespace: String,
    saved: BTreeMap<String, Value>,
}

#[tokio::test]
async fn proa_answers_as_upstream_did() {
    let cluster = Cluster::start().await.unwrap();
    let mut wrong = String::new();
    let mut compared = 0;
    for (n, line) in include_str!("../../upstream/recorded.jsonl").lines().enumerate() {
        let scenario: Scenario = serde_json::from_str(line).unwrap();
        let namespace = format!("corpus-{n:04}");
        let mut session = Session { client: cluster.admin(), namespace, saved: BTreeMap::new() };
        session.prepare().await;
        for (i, step) in scenario.steps.iter().enumerate() {
            let answer = session.run(step).await;
            if step.code == 0 {
                continue;
            }
            compared += 1;
            if let Err(why) = session.compare(step, &answer) {
                writeln!(wrong, "{}, step {}, {}\n    {why}", scenario.name, i + 1, step.r#do).unwrap();
            }
        }
    }
    assert!(compared > 200, "only {compared} answers are recorded");
    assert!(wrong.is_empty(), "other answers than upstream's:\n{wrong}");
    cluster.stop().await;
}

impl Session {
    /// What controllers would put into the namespace.
    async fn prepare(&self) {
        for (path, body) in [
            ("/api/v1/namespaces", r#"{"metadata":{"name":"$ns"}}"#),
            ("/api/v1/namespaces/$ns/serviceaccounts", r#"{"metadata":{"name":"default"}}"#),
        ] {
            let step = serde_json::from_value(serde_json::json!({"do": format!("POST {path}"), "raw": body}));
            let answer = self.send(&step.unwrap()).await;
            assert_eq!(answer.code, 201, "{path}: {}", answer.body);
        }
    }

    async fn run(&mut self, step: &Step) -> Answer {
        let started = Instant::now();
        let mut answer = self.send(step).await;
        while step.until != 0 && answer.code != step.until {
            assert!(started.elapsed() < PATIENCE, "{}: {}", step.r#do, answer.body);
            tokio::task::yield_now().await;
            answer = self.send(step).await;
        }
        if !step.save.is_empty() {
            self.saved.insert(step.save.clone(), answer.body.clone());
        }
        answer
    }

    async fn send(&self, step: &Step) -> Answer {
        let filled = self.fill(&step.r#do);
        let (method, path) = filled.split_once(' ').unwrap();
        let body = self.fill(step.body.as_ref().map_or(&*step.raw, |body| body.get()));
        let accept = match &*step.accept {
            "" => "application/json",
            "table" => "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            "partial" => "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
            "partials" => "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
            other => other,
        };
        let kind = match &*step.r#type {
            "" if !body.is_empty() => "application/json",
            other => other,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::USER_AGENT, "corpus")
            .header("Accept", accept);
        if !kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if !step.r#as.is_empty() {
            request = request.header("Impersonate-User", self.fill(&step.r#as));
            for group in &step.groups {
                request = request.header("Impersonate-Group", group);
            }
        }
        let response = self.client.send(request.body(Body::from(body.into_bytes())).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let warnings =
            response.headers().get_all("Warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        Answer { code, warnings, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    /// Puts the namespace and values of earlier answers in.
    fn fill(&self, text: &str) -> String {
        let mut filled = text.replace("$ns", &self.namespace);
        while let Some((before, rest)) = filled.split_once("{{") {
            let (path, after) = rest.split_once("}}").unwrap();
            let (name, path) = path.split_once('.').unwrap();
            let value = path.split('.').fold(&self.saved[name], |value, field| &value[field]);
            filled =
                format!("{before}{}{after}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        filled
    }

    fn compare(&self, step: &Step, answer: &Answer) -> Result<(), String> {
        if answer.code != step.code {
            return Err(format!("{} and not {}: {}", answer.code, step.code, answer.body));
        }
        let all = |texts: &[String]| texts.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>();
        self.same("warnings", &all(&step.warnings).into(), &all(&answer.warnings).into())?;
        self.same("", &step.answer, &answer.body)
    }

    fn same(&self, at: &str, recorded: &Value, found: &Value) -> Result<(), String> {
        match (recorded, found) {
            (Value::Object(recorded), Value::Object(found)) => self.same_fields(at, recorded, found),
            (Value::Array(recorded), Value::Array(found)) if recorded.len() == found.len() => {
                let pairs = recorded.iter().zip(found).enumerate();
                pairs.into_iter().try_for_each(|(i, (a, b))| self.same(&format!("{at}[{i}]"), a, b))
            }
            (Value::String(recorded), Value::String(found)) if fits(&self.fill(recorded), found) => Ok(()),
            // A port is a number, of which only is known that there is one.
            (Value::String(recorded), Value::Number(_)) if recorded == "<port>" => Ok(()),
            (recorded, found) if recorded == found => Ok(()),
            _ => Err(format!("{at}: {found} and not {recorded}")),
        }
    }

    fn same_fields(
        &self,
        at: &str,
        recorded: &Map<String, Value>,
        found: &Map<String, Value>,
    ) -> Result<(), String> {
        for (name, value) in recorded {
            let found =
                found.get(name).ok_or_else(|| format!("{at}.{name} is missing, should be {value}"))?;
            self.same(&format!("{at}.{name}"), value, found)?;
        }
        // Managed fields are only recorded where they are what is tested.
        let unrecorded = |name: &&String| !recorded.contains_key(*name) && *name != "managedFields";
        match found.keys().find(unrecorded) {
            Some(extra) => Err(format!("{at}.{extra} should not be there")),
            None => Ok(()),
        }
    }
}

/// Whether the text is the pattern's, with any text where a word in angle brackets stands.
fn fits(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    let mut pieces = pieces(pattern).into_iter();
    let Some(first) = pieces.next() else { return text.is_empty() };
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    true
}

/// What stands between the words in angle brackets.
fn pieces(pattern: &str) -> Vec<&str> {
    const WORDS: [&str; 18] = [
        "<uid>",
        "<version>",
        "<token>",
        "<time>",
        "<commit>",
        "<state>",
        "<toolchain>",
        "<platform>",
        "<hash>",
        "<url>",
        "<address>",
        "<certificate>",
        "<source>",
        "<port>",
        "<random>",
        "<age>",
        "<service address>",
        "<anything>",
    ];
    let mut found = vec![pattern];
    for word in WORDS {
        found = found.into_iter().flat_map(|piece| piece.split(word)).collect();
    }
    found
}

#[test]
fn words_in_angle_brackets_stand_for_any_text() {
    assert!(fits("a <uid> b <time>", "a 1-2 b 2026"));
    assert!(fits("<uid>", ""));
    assert!(fits("plain", "plain"));
    assert!(!fits("plain", "plain and more"));
    assert!(!fits("a <uid> b", "a 1-2 c"));
    assert!(!fits("<nil> is no such word", "x is no such word"));
}
