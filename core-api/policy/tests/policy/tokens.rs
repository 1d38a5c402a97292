//! Tokens from request to review.

use crate::cluster::{Cluster, admin, pod};
use proa_meta::{Gvr, User};
use proa_policy::objects;
use serde_json::{Value, json};

const REVIEWS: Gvr = Gvr::new("authentication.k8s.io", "v1", "tokenreviews");

async fn request(cluster: &Cluster, user: &User, spec: Value) -> Result<Value, String> {
    let target = cluster.target(&objects::SERVICE_ACCOUNTS, "default", "default", user);
    cluster.post(&target, "token", json!({ "spec": spec })).await.map_err(|e| e.message().to_owned())
}

fn token(answer: &Value) -> &str {
    answer["status"]["token"].as_str().unwrap()
}

#[tokio::test]
async fn a_token_lives_as_long_as_its_account() {
    let cluster = Cluster::start().await;
    let answer = request(&cluster, &admin(), json!({})).await.unwrap();
    assert_eq!(answer["spec"]["expirationSeconds"], 3600);
    assert_eq!(answer["spec"]["audiences"], json!(["https://kubernetes.default.svc.cluster.local"]));
    assert_eq!(answer["metadata"]["name"], "default");
    let verified = cluster.verifier.verify(token(&answer)).unwrap();
    assert_eq!(verified.user.name, "system:serviceaccount:default:default");
    cluster.delete(&objects::SERVICE_ACCOUNTS, "default", "default").await.unwrap();
    assert!(cluster.verifier.verify(token(&answer)).is_err());
    let account = json!({"metadata": {"name": "default"}});
    cluster.create(&objects::SERVICE_ACCOUNTS, "default", account).await.unwrap();
    let error = cluster.verifier.verify(token(&answer)).unwrap_err().to_string();
    assert!(error.contains("does not match claim"), "{error}");
}

#[tokio::test]
async fn a_token_lives_as_long_as_its_pod() {
    let cluster = Cluster::start().await;
    cluster.create(&objects::PODS, "default", pod("web")).await.unwrap();
    let bound =
        |uid: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": uid}});
    let answer = request(&cluster, &admin(), bound("")).await.unwrap();
    let verified = cluster.verifier.verify(token(&answer)).unwrap();
    assert_eq!(verified.user.extra["authentication.kubernetes.io/pod-name"], ["web"]);
    let error = request(&cluster, &admin(), bound("other")).await.unwrap_err();
    assert!(error.contains("does not match the UID in record"), "{error}");
    cluster.delete(&objects::PODS, "default", "web").await.unwrap();
    let error = cluster.verifier.verify(token(&answer)).unwrap_err().to_string();
    assert_eq!(error, "service account token has been invalidated");
    assert_eq!(request(&cluster, &admin(), bound("")).await.unwrap_err(), "pods \"web\" not found");
}

#[tokio::test]
async fn pods_tokens_live_longer_than_they_say() {
    let cluster = Cluster::start().await;
    cluster.create(&objects::PODS, "default", pod("web")).await.unwrap();
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "web"});
    let lifetime = async |spec| {
        let answer = request(&cluster, &admin(), spec).await.unwrap();
        let claims = claims(token(&answer));
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
    };
    assert_eq!(lifetime(json!({"expirationSeconds": 3607, "boundObjectRef": reference})).await, 31_536_000);
    assert_eq!(lifetime(json!({"expirationSeconds": 3607})).await, 3607);
    let other = json!({"expirationSeconds": 3607, "boundObjectRef": reference, "audiences": ["vault"]});
    assert_eq!(lifetime(other).await, 3607);
}

fn claims(token: &str) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn empty_requests_are_completed_and_wrong_ones_refused() {
    let cluster = Cluster::start().await;
    for spec in [Value::Null, json!({"audiences": null, "expirationSeconds": null, "boundObjectRef": null})] {
        request(&cluster, &admin(), spec).await.unwrap();
    }
    for (spec, want) in [
        (json!({"expirationSeconds": 10}), "may not specify a duration less than 10 minutes"),
        (
            json!({"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}),
            "cannot bind token to object of type apps/v1, Kind=Deployment",
        ),
        (
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "a"}}),
            "secrets \"a\" not found",
        ),
    ] {
        let error = request(&cluster, &admin(), spec).await.unwrap_err();
        assert!(error.contains(want), "{error}");
    }
}

#[tokio::test]
async fn reviews_tell_whose_a_token_is() {
    let cluster = Cluster::start().await;
    let answer = request(&cluster, &admin(), json!({"audiences": ["vault"]})).await.unwrap();
    let review = async |audiences: Value| {
        let spec = json!({"token": token(&answer), "audiences": audiences});
        cluster.create(&REVIEWS, "", json!({ "spec": spec })).await.unwrap()["status"].take()
    };
    let status = review(json!(["vault", "other"])).await;
    assert_eq!(status["authenticated"], true);
    assert_eq!(status["audiences"], json!(["vault"]));
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:default");
    let status = review(json!([])).await;
    assert_eq!(status["user"], json!({}));
    assert!(status["error"].as_str().unwrap().contains("is invalid for the target audiences"));
    let error = cluster.create(&REVIEWS, "", json!({"spec": {}})).await.unwrap_err();
    assert_eq!(error.code(), 400);
}

#[tokio::test]
async fn bootstrap_tokens_are_read_from_their_secret() {
    let cluster = Cluster::start().await;
    let review = async |token: &str| {
        let review = json!({"spec": {"token": token}});
        cluster.create(&REVIEWS, "", review).await.unwrap()["status"].take()
    };
    let secret = json!({
        "metadata": {"name": "bootstrap-token-abc123"}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {"token-id": "abc123", "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true"},
    });
    assert_eq!(review("abc123.0123456789abcdef").await["error"], "invalid bearer token");
    cluster.create(&objects::SECRETS, "kube-system", secret).await.unwrap();
    let status = review("abc123.0123456789abcdef").await;
    assert_eq!(status["user"]["username"], "system:bootstrap:abc123");
    assert_eq!(status["user"]["groups"], json!(["system:bootstrappers", "system:authenticated"]));
    assert!(review("abc123.0123456789abcdee").await["authenticated"].is_null());
}
