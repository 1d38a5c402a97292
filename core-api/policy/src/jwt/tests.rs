//! Tokens of issuers that the tests play.

use super::{config::AuthenticationConfiguration, *};
use bytes::Bytes;
use parking_lot::Mutex;
use proa_registry::webhook::CallError;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::json;

const URL: &str = "https://issuer.example/a";
const API: &str = "https://own";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key with which a played issuer signs.
struct Signer {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self { pair: EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(), kid }
    }
    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": encode(x), "y": encode(y)})
    }
    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.kid});
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature))
    }
}

/// Serves what an issuer publishes, and counts how often its keys were fetched.
#[derive(Default)]
struct Published {
    keys: Mutex<Vec<Value>>,
    fetches: Mutex<usize>,
}

impl CallWebhook for Published {
    fn call<'a>(
        &'a self,
        _: &'a WebhookClient,
        _: Bytes,
        _: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        unreachable!("issuers are only asked")
    }
    fn fetch<'a>(
        &'a self,
        client: &'a WebhookClient,
        _: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        let document = match &client.place {
            WebhookPlace::Url(url) if url.ends_with("/.well-known/openid-configuration") => {
                json!({"issuer": URL, "jwks_uri": "https://issuer.example/keys"})
            }
            _ => {
                *self.fetches.lock() += 1;
                json!({"keys": *self.keys.lock()})
            }
        };
        Box::pin(std::future::ready(Ok(Bytes::from(document.to_string()))))
    }
}

fn config(mappings: &str) -> Result<AuthenticationConfiguration, String> {
    AuthenticationConfiguration::parse(&format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n\
         - issuer: {{url: '{URL}', audiences: [me]}}\n{mappings}"
    ))
}

fn issuer(mappings: &str) -> Arc<Issuer> {
    let algorithms = Algorithm::ALL.map(|(_, algorithm)| algorithm);
    config(mappings).unwrap().issuers(&[API.to_owned()], &algorithms).unwrap().remove(0)
}

fn claims() -> Value {
    json!({"iss": URL, "aud": ["me", "you"], "exp": 4_000_000_000_i64, "sub": "ann", "jti": "1",
        "groups": ["a", "b"], "email": "ann@x", "email_verified": true, "team": "blue"})
}

const PLAIN: &str =
    "  claimMappings: {username: {claim: sub, prefix: 'x:'}, groups: {claim: groups, prefix: 'g:'}}";

async fn verified(issuer: &Issuer, token: &str) -> Result<Option<User>, String> {
    let known = issuer.verify(token, &[API.to_owned()]).await;
    known.map(|known| known.map(|verified| verified.user)).map_err(|why| why.to_string())
}

#[tokio::test]
async fn keys_are_fetched_at_the_start_and_when_a_new_one_is_named() {
    let (first, second, published) = (Signer::new("1"), Signer::new("2"), Arc::new(Published::default()));
    published.keys.lock().push(first.jwk());
    let issuer = issuer(PLAIN);
    assert_eq!(
        verified(&issuer, &first.token(&claims())).await.unwrap_err(),
        "oidc: authenticator not initialized"
    );
    let mut fetched = issuer.fetched.subscribe();
    let run = tokio::spawn(issuer.clone().run(published.clone()));
    fetched.changed().await.unwrap();
    let user = verified(&issuer, &first.token(&claims())).await.unwrap().unwrap();
    assert_eq!(
        (user.name.as_str(), user.groups.as_slice()),
        ("x:ann", &["g:a".to_owned(), "g:b".to_owned()][..])
    );
    assert_eq!(user.extra["authentication.kubernetes.io/credential-id"], ["JTI=1"]);
    assert_eq!(*published.fetches.lock(), 1);
    published.keys.lock().push(second.jwk());
    assert!(verified(&issuer, &second.token(&claims())).await.unwrap().is_some());
    assert_eq!(*published.fetches.lock(), 2);
    let forged = Signer::new("1").token(&claims());
    assert!(verified(&issuer, &forged).await.unwrap_err().contains("failed to verify id token signature"));
    run.abort();
}

#[tokio::test]
async fn tokens_are_for_the_audience_and_the_time() {
    let signer = Signer::new("1");
    let issuer = issuer(PLAIN);
    issuer
        .keys
        .store(Some(Arc::new(keys::read(json!({"keys": [signer.jwk()]}).to_string().as_bytes()).unwrap())));
    for (want, claim, value) in [
        ("expected audience in [\"me\"] got [\"you\"]", "aud", json!("you")),
        ("token is expired", "exp", json!(1000)),
        ("token is expired", "exp", Value::Null),
        ("before the nbf", "nbf", json!(4_000_000_000_i64)),
        ("parse username claims \"sub\": it is no string", "sub", json!(7)),
        ("parse groups claim", "groups", json!([1])),
    ] {
        let mut claims = claims();
        claims[claim] = value;
        let error = verified(&issuer, &signer.token(&claims)).await.unwrap_err();
        assert!(error.contains(want), "{error}");
    }
    let mut others = claims();
    others["iss"] = json!("https://other");
    assert_eq!(verified(&issuer, &signer.token(&others)).await, Ok(None));
    assert_eq!(verified(&issuer, "a.b.c").await, Ok(None));
    let for_others = issuer.verify(&signer.token(&claims()), &["vault".to_owned()]).await;
    assert_eq!(for_others, Ok(None), "the token is for the API server");
}

#[test]
fn expressions_map_and_check_claims() {
    let issuer = issuer(
        "  claimValidationRules:\n  - {claim: team, requiredValue: blue}\n\
         \x20 - {expression: 'claims.exp > 0', message: no end}\n\
         \x20 - {expression: 'claims.?email_verified.orValue(true) == true', message: not verified}\n\
         \x20 claimMappings:\n    username: {expression: 'claims.email'}\n\
         \x20   groups: {expression: 'claims.groups.map(g, \"x-\" + g)'}\n    uid: {claim: sub}\n\
         \x20   extra: [{key: x.io/team, valueExpression: claims.team}]\n\
         \x20 userValidationRules:\n  - {expression: \"!user.username.startsWith('system:')\", message: reserved}",
    );
    let user = issuer.mapping.user(&claims()).unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("ann@x", "ann"));
    assert_eq!((user.groups.join(","), user.extra["x.io/team"].join(",")), ("x-a,x-b".into(), "blue".into()));
    for (want, claim, value) in [
        ("required claim team value does not match. Got = red, want = blue", "team", json!("red")),
        ("failed: not verified", "email_verified", json!(false)),
        ("failed: reserved", "email", json!("system:admin")),
        ("empty username via CEL expression is not allowed", "email", json!("")),
        ("error evaluating username claim expression", "email", json!(1)),
    ] {
        let mut claims = claims();
        claims[claim] = value;
        let error = issuer.mapping.user(&claims).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    for (want, text) in [
        ("jwt[0].claimMappings.username: Required value: claim or expression is required", ""),
        ("jwt[0].claimMappings.username.prefix: Required value", "  claimMappings: {username: {claim: sub}}"),
        (
            "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": claims.email_verified must",
            "  claimMappings: {username: {expression: claims.email}}",
        ),
        (
            "jwt[0].claimMappings.username.expression: Invalid value: \"nothing\": compilation failed",
            "  claimMappings: {username: {expression: nothing}}",
        ),
        (
            "jwt[0].userValidationRules[0].expression: Invalid value: \"user.uid\": must evaluate to bool",
            "  claimMappings: {username: {expression: claims.sub}}\n  userValidationRules: [{expression: user.uid}]",
        ),
        (
            "jwt[0].claimMappings.extra[0].key: Invalid value: \"x.k8s.io/a\"",
            "  claimMappings: {username: {expression: claims.sub}, extra: [{key: x.k8s.io/a, valueExpression: claims.a}]}",
        ),
        (
            "jwt[0].claimValidationRules[0]: Invalid value",
            "  claimMappings: {username: {expression: claims.sub}}\n  claimValidationRules: [{claim: a, expression: 'true'}]",
        ),
    ] {
        let error = config(text).unwrap().issuers(&[], &[]).err().unwrap();
        assert!(error.contains(want), "{error}");
    }
    let own = config(PLAIN).unwrap().issuers(&[URL.to_owned()], &[]).err().unwrap();
    assert!(own.contains("jwt[0].issuer.url: Invalid value"), "{own}");
    assert!(config("  unknown: 1").unwrap_err().contains("unknown field `unknown`"));
    assert!(config("  userValidationRules: []\n  userValidationRules: []").is_err());
}

/// Signed by openssl.
#[test]
fn rsa_signatures_are_verified() {
    let modulus = "pH7gtOvaG2DyGUrfwdS5RLhyW1KyrpDAGXQNhfVZfC824VPXBb4PHnGtOSKVg1nBZIzHkClOf8fW3svHu9L5UnlG_4f9OAuV1ljaNMCKA50VLZyh-cpVQ9285qdZFixu8BH8_s4xbArnWJTdohThDC3m2l4R0jbB0oGxieC9ypU1IMP_TtTnPCwyCZnQxMYGqcXDrtjSQmEh8H6xuPe5W20YIds1BgZfVnIpCbl9hSPPph9TR9Fkrg4k_Q1pjuzk-am_FZEzIXro5lhKDwC-ZdskvYIpKOCVVizD75UFVoqwrY-aD6wx9d1mu_L_1RIhZ570znbogenDrnVOsHZvWw";
    let set = json!({"keys": [{"kty": "RSA", "n": modulus, "e": "AQAB"}, {"kty": "oct", "k": "AA"}]});
    let keys = keys::read(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 1, "shared secrets open nothing");
    for (algorithm, signature) in [
        (
            Algorithm::Rs256,
            "g7zocrNf7USFnaQJ6foK-1p8qWvG2x3WfSftje77ww7xqGH97daigoUuvMcxBq4vy0a-SoafjIkXsOKSVNDWz49rTazihnAQIEeq8_9OpVvdEVxOiQQ2bSm3hcQP4_P31bBCzOH2Vy7cB4aO6ZpuBI-i3ECDJpNq2SYtRMSLWMCmtytgwrR6orQBxIdpS8G8Es17IgboYfc67ZV2HYsls7091L7wsr4ZK97DWB6V3xqVTSU0qksajlekoto_D76cR87047BqQhEkQHWIX__8wbumGRODCtrM8yaIZS4y1QcGVblS1utTHk9qmruF-QE8QHHLtxaDuqY1gjk-LvuWdw",
        ),
        (
            Algorithm::Ps256,
            "lhCJHZzTDkZqlQ2Hy9iHVS9e47l36UyUeP66wJ8b2ZsXiBiNlh5LfJLvlyiz63Hn4sGFTwEymSpUp-Tgdhkw1NQzBdlKUPV4EEjr5QCyWh7m5oIOH9etfkQVXtwEnIu1Qc4qWisvAgKBgp50npvNpcxT_UuNlFmuLRP7vfMSWSLj45W3pKEUunS5zelPDK68PUkW9JrbTsDWnIdCHXFe2Dm5gXGa8Vhop02GNWfAg6ZJTAKwCgJ1VzskAoXfcWGw_YxDmZBqIDMmudPxl1OimeBsValUMUCa-KUbOgWXkrWeu__vzWimUeO0edRMyev_aEhC3cbxeZBglv4IMwW8UQ",
        ),
    ] {
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(keys[0].has_signed("", algorithm, "head.claims", &signature));
        assert!(!keys[0].has_signed("", algorithm, "head.claimz", &signature));
        assert!(!keys[0].has_signed("", Algorithm::Es256, "head.claims", &signature));
        assert!(!keys[0].has_signed("other", algorithm, "head.claims", &signature));
    }
}
