//! A webhook that the tests play.

use super::{super::config, *};
use crate::authorizers::config::Mode;
use futures::executor::block_on;
use parking_lot::Mutex;
use proa_registry::webhook::{CallError, WebhookPlace};

/// Notes questions and gives one answer.
struct Played {
    asked: Mutex<Vec<Value>>,
    answer: Option<Value>,
}

impl CallWebhook for Played {
    fn call<'a>(
        &'a self,
        _: &'a WebhookClient,
        body: Bytes,
        _: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        self.asked.lock().push(serde_json::from_slice(&body).unwrap());
        let answer = self.answer.as_ref().map(|status| Bytes::from(json!({"status": status}).to_string()));
        let answer = answer.ok_or_else(|| CallError("refused".to_owned()));
        Box::pin(std::future::ready(answer))
    }
    fn fetch<'a>(&'a self, _: &'a WebhookClient, _: Duration) -> BoxFuture<'a, Result<Bytes, CallError>> {
        unreachable!("webhooks are posted to")
    }
}

fn client(_: &str) -> Result<WebhookClient, String> {
    let place = WebhookPlace::Url("https://h/a".to_owned());
    Ok(WebhookClient { place, ca_bundle: Bytes::new(), access: None })
}

const HOOK: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: hook
  webhook:
    timeout: 3s
    authorizedTTL: 5m
    unauthorizedTTL: 30s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: /hook}
    matchConditions:
    - expression: has(request.resourceAttributes)
    - expression: '!(\"system:masters\" in request.groups)'
- type: RBAC
  name: roles
";

fn hook(text: &str, answer: Option<Value>) -> (WebhookAuthorizer, Arc<Played>) {
    let mut modes = config::parse(text, &client).unwrap();
    let Mode::Webhook(settings) = modes.remove(0) else { panic!("the webhook is first") };
    let played = Arc::new(Played { asked: Mutex::default(), answer });
    (WebhookAuthorizer::new(*settings, played.clone()), played)
}

fn question() -> Attributes {
    let attributes = Attributes {
        user: Arc::new(User::new("ann", &["g"])),
        verb: "list".to_owned(),
        version: "v1".to_owned(),
        resource: "pods".to_owned(),
        namespace: "d".to_owned(),
        is_resource: true,
        ..Attributes::default()
    };
    attributes.selecting("spec.nodeName=n,status.phase!=Failed", "app in (a),!b,c>1")
}

#[test]
fn the_question_is_asked_once_with_its_selectors() {
    let (hook, played) = hook(HOOK, Some(json!({"allowed": true, "reason": "why"})));
    for _ in 0..2 {
        assert_eq!(block_on(hook.authorize(&question())), Decision::Allow("why".to_owned()));
    }
    let asked = played.asked.lock().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0]["spec"],
        json!({
            "user": "ann", "groups": ["g"],
            "resourceAttributes": {
                "verb": "list", "version": "v1", "resource": "pods", "namespace": "d",
                "fieldSelector": {"requirements": [
                    {"key": "spec.nodeName", "operator": "In", "values": ["n"]},
                    {"key": "status.phase", "operator": "NotIn", "values": ["Failed"]},
                ]},
                "labelSelector": {"requirements": [
                    {"key": "app", "operator": "In", "values": ["a"]},
                    {"key": "b", "operator": "DoesNotExist"},
                ]},
            },
        })
    );
}

#[test]
fn answers_and_their_absence_decide() {
    let no = || Decision::NoOpinion(String::new());
    for (want, answer) in [
        (no(), Some(json!({}))),
        (Decision::Deny("x".into()), Some(json!({"denied": true, "reason": "x"}))),
        (Decision::Deny(String::new()), Some(json!({"denied": true, "allowed": true}))),
        (no(), Some(json!({"allowed": null, "denied": null, "reason": null}))),
        (Decision::Deny(String::new()), Some(json!({"denied": true, "reason": null}))),
        (Decision::Deny(String::new()), None),
    ] {
        let (hook, _) = hook(HOOK, answer);
        assert_eq!(block_on(hook.authorize(&question())), want);
    }
    let (lenient, played) = hook(&HOOK.replace("failurePolicy: Deny", "failurePolicy: NoOpinion"), None);
    assert_eq!(block_on(lenient.authorize(&question())), no());
    block_on(lenient.authorize(&question()));
    assert_eq!(played.asked.lock().len(), 2, "what was not answered is not remembered");
    let (older, played) = hook(
        &HOOK.replace(
            "subjectAccessReviewVersion: v1\n    match",
            "subjectAccessReviewVersion: v1beta1\n    match",
        ),
        Some(json!({})),
    );
    block_on(older.authorize(&question()));
    assert_eq!(played.asked.lock()[0]["spec"]["group"], json!(["g"]));
}

#[test]
fn conditions_keep_questions_away() {
    let (hook, played) = hook(HOOK, Some(json!({"denied": true})));
    let path = Attributes { path: "/x".to_owned(), is_resource: false, ..question() };
    assert_eq!(block_on(hook.authorize(&path)), Decision::NoOpinion(String::new()));
    assert!(played.asked.lock().is_empty());
    let text = HOOK.replace(
        "has(request.resourceAttributes)",
        "request.resourceAttributes.labelSelector.rawSelector == ''",
    );
    let (broken, _) = self::hook(&text, Some(json!({"allowed": true})));
    assert_eq!(
        block_on(broken.authorize(&question())),
        Decision::Deny(String::new()),
        "the failure policy counts"
    );
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    for (want, from, to) in [
        ("authorizers[0].type: Unsupported value: \"ABAC\"", "type: Webhook", "type: ABAC"),
        ("authorizers[1].name: Duplicate value: \"hook\"", "name: roles", "name: hook"),
        ("authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s", "3s", "31s"),
        ("authorizers[0].authorizedTTL: Required value", "authorizedTTL: 5m", "authorizedTTL: ''"),
        ("authorizers[0].unauthorizedTTL: Invalid value: \"-3s\"", "TTL: 30s", "TTL: -3s"),
        ("authorizers[0].failurePolicy: Unsupported value: \"Ignore\"", "Policy: Deny", "Policy: Ignore"),
        ("authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"hook\"", "/hook", "hook"),
        (
            "authorizers[0].matchConditions[0].expression: Invalid value: \"x\"",
            "has(request.resourceAttributes)",
            "x",
        ),
        (
            "authorizers[0].matchConditions[0].expression: Invalid value: \"request.user\": must evaluate to bool",
            "has(request.resourceAttributes)",
            "request.user",
        ),
        ("unknown field `reason`", "name: hook", "reason: hook"),
    ] {
        let error = config::parse(&HOOK.replacen(from, to, 1), &client).err().unwrap_or_default();
        assert!(error.contains(want), "{want}: {error}");
    }
}
