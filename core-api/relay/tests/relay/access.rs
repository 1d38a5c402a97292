//! Others who are asked who somebody is and what they may do: an issuer of tokens, webhooks.

use crate::{
    authority::Authority,
    hook::Hook,
    world::{World, request},
};
use proa_assembly::{Access, Serving};
use proa_policy::{
    authorizers::config,
    jwt::{Algorithm, config::AuthenticationConfiguration},
    kubeconfig,
    tokens::{Claims, SigningKey, webhook::TokenWebhook},
};
use serde_json::json;
use std::{collections::HashMap, time::Duration};

const ISSUER: &str = "https://issuer.example";

/// A server whose issuer, token webhook and authorizer are one played host.
async fn start(key: &SigningKey) -> (World, Hook) {
    let authority = Authority::new();
    let jwk = key.public().jwk();
    let hook = Hook::serving(authority.serving("127.0.0.1"), |address| {
        let ann = json!({"username": "ann", "groups": ["hooked"]});
        HashMap::from([
            ("/discovery", json!({"issuer": ISSUER, "jwks_uri": format!("https://{address}/keys")})),
            ("/keys", json!({"keys": [jwk]})),
            ("/tokens", json!({"status": {"authenticated": true, "user": ann}})),
            ("/access", json!({"status": {"allowed": true, "reason": "the hook says so"}})),
        ])
    })
    .await;
    let client = |path: &str| {
        let config = json!({
            "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("https://{}{path}", hook.address),
                "certificate-authority": "ca"}}],
            "users": [{"name": "u", "user": {"token": "of-the-server"}}],
        });
        let read = |_: &str| Ok(authority.pem().into_bytes());
        kubeconfig::client(config.to_string().as_bytes(), &read).unwrap()
    };
    let authentication = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {"url": ISSUER, "discoveryURL": format!("https://{}/discovery", hook.address),
                "audiences": ["proa"], "certificateAuthority": authority.pem()},
            "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"}},
        }],
    });
    let authorization = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration",
        "authorizers": [
            {"type": "RBAC", "name": "roles"},
            {"type": "Webhook", "name": "hook", "webhook": {
                "timeout": "3s", "authorizedTTL": "5m", "unauthorizedTTL": "30s",
                "subjectAccessReviewVersion": "v1", "matchConditionSubjectAccessReviewVersion": "v1",
                "failurePolicy": "NoOpinion",
                "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/access"},
                "matchConditions": [{"expression": "'hooked' in request.groups"}],
            }},
        ],
    });
    let authentication = AuthenticationConfiguration::parse(&authentication.to_string()).unwrap();
    let own = ["https://kubernetes.default.svc.cluster.local".to_owned()];
    let issuers = authentication.issuers(&own, &Algorithm::ALL.map(|(_, algorithm)| algorithm)).unwrap();
    let modes = config::parse(&authorization.to_string(), &|path| Ok(client(path))).unwrap();
    let token_webhook = TokenWebhook {
        client: client("/tokens"),
        version: "v1".to_owned(),
        lifetime: Duration::from_mins(2),
    };
    let access =
        Access { issuers, token_webhook: Some(token_webhook), authorizers: Some(modes), ..Access::default() };
    let world = World::start_with(authority, Serving { access, ..Serving::default() }).await;
    (world, hook)
}

/// Whom a token stands for.
async fn whoami(world: &World, token: &str) -> String {
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let headers = [("content-type", "application/json")];
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let answer = world.send("admin", request("POST", path, &headers, &review.to_string())).await.json();
    let status = &answer["status"];
    status["user"]["username"].as_str().map_or_else(|| status["error"].to_string(), str::to_owned)
}

#[tokio::test]
async fn tokens_of_others_are_known_by_their_issuer_or_a_webhook() {
    let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
    let (world, hook) = start(&key).await;
    let claims = Claims {
        aud: vec!["proa".to_owned()],
        exp: 4_000_000_000,
        iss: ISSUER.to_owned(),
        sub: "bob".to_owned(),
        ..Claims::default()
    };
    let token = key.sign(&claims).unwrap();
    // The issuer is asked in the background; until it has answered, its tokens are the webhook's.
    let known = async {
        while whoami(&world, &token).await != "oidc:bob" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), known).await.unwrap();
    assert_eq!(whoami(&world, "some-token").await, "ann");
    let asked = hook.seen();
    let asked: Vec<_> = asked.iter().filter(|asked| asked.review["spec"]["token"] == "some-token").collect();
    assert_eq!((asked[0].target.as_str(), asked.len()), ("/tokens", 1));
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer of-the-server"));
    assert_eq!(whoami(&world, "some-token").await, "ann");
    let again = hook.seen().iter().filter(|asked| asked.review["spec"]["token"] == "some-token").count();
    assert_eq!(again, 1, "the answer is remembered");
    world.stop().await;
}

#[tokio::test]
async fn a_webhook_decides_what_roles_leave_open() {
    let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
    let (world, hook) = start(&key).await;
    let get = async |groups: &[&str]| {
        let headers: Vec<_> = groups.iter().map(|group| ("impersonate-group", *group)).collect();
        let headers = [&[("impersonate-user", "eve")][..], &headers].concat();
        let path = "/api/v1/namespaces/d/pods?fieldSelector=spec.nodeName%3Dn";
        world.send("admin", request("GET", path, &headers, "")).await.status.as_u16()
    };
    assert_eq!(get(&["other"]).await, 403, "the condition does not hold");
    assert!(hook.seen().iter().all(|asked| asked.target != "/access"));
    assert_eq!(get(&["hooked"]).await, 200);
    let asked = hook.seen();
    let asked = asked.iter().find(|asked| asked.target == "/access").unwrap();
    assert_eq!(asked.review["spec"]["user"], "eve");
    assert_eq!(
        asked.review["spec"]["resourceAttributes"]["fieldSelector"]["requirements"],
        json!([{"key": "spec.nodeName", "operator": "In", "values": ["n"]}])
    );
    world.stop().await;
}
