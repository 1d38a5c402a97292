//! Tokens: round trips, tampering, times, audiences, live objects.

use super::{
    key::{PublicKey, SigningKey, open},
    verifier::{check_objects, check_times, matching_audiences, user},
    *,
};
use crate::objects::{self, Meta};
use jiff::Timestamp;
use proa_meta::Gvr;
use proptest::prelude::*;
use std::sync::LazyLock;

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap());

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn bound(name: &str, uid: &str) -> Bound {
    Bound { name: name.to_owned(), uid: uid.to_owned() }
}

fn claims() -> Claims {
    Claims {
        aud: vec!["api".to_owned()],
        exp: 2_000,
        iat: 1_000,
        iss: DEFAULT_ISSUER.to_owned(),
        jti: "id-1".to_owned(),
        kubernetes: KubernetesClaims {
            namespace: "default".to_owned(),
            node: Some(bound("n1", "node-uid")),
            pod: Some(bound("web", "pod-uid")),
            secret: None,
            serviceaccount: bound("builder", "account-uid"),
            warnafter: None,
        },
        nbf: 1_000,
        sub: "system:serviceaccount:default:builder".to_owned(),
    }
}

fn open_with(token: &str, key: &PublicKey) -> Result<Claims, TokenError> {
    open(token, &[DEFAULT_ISSUER.to_owned()], std::slice::from_ref(key))
}

#[test]
fn a_token_opens_with_its_own_key_only() {
    let token = KEY.sign(&claims()).unwrap();
    assert_eq!(open_with(&token, KEY.public()), Ok(claims()));
    let other = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
    assert_eq!(open_with(&token, other.public()), Err(TokenError::Invalid("invalid bearer token".into())));
    assert_eq!(
        open(&token, &["https://elsewhere".to_owned()], &[KEY.public().clone()]),
        Err(TokenError::Foreign)
    );
}

#[test]
fn a_header_cannot_choose_the_algorithm() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let token = KEY.sign(&claims()).unwrap();
    let (_, rest) = token.split_once('.').unwrap();
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"ES256","kid":"other"}"#, "{}", "x"] {
        let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
        assert!(open_with(&forged, KEY.public()).is_err(), "{header}");
    }
}

#[test]
fn public_keys_survive_their_der_form() {
    let jwk = KEY.public().jwk();
    assert_eq!(jwk["crv"], "P-256");
    assert_eq!(jwk["x"].as_str().map(str::len), Some(43));
    let document = discovery::keys(&[KEY.public().clone()]);
    assert_eq!(document["keys"][0]["kid"], KEY.public().id());
    assert!(PublicKey::from_spki(b"no key").is_err());
    assert!(SigningKey::from_pkcs8(b"no key").is_err());
}

#[test]
fn times_have_a_minute_of_leeway() {
    for (want, now) in [
        (Ok(()), 1_000),
        (Ok(()), 2_060),
        (Err("service account token has expired"), 2_061),
        (Ok(()), 940),
        (Err("service account token is not valid yet"), 939),
    ] {
        let found = check_times(&claims(), at(now)).map_err(|e| e.to_string());
        assert_eq!(found, want.map_err(str::to_owned), "at {now}");
    }
    let future = Claims { nbf: 0, ..claims() };
    assert!(check_times(&future, at(900)).unwrap_err().to_string().contains("issued in the future"));
}

#[test]
fn audiences_must_meet() {
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for (want, token, asked) in [
        (Some("api"), "api vault", "api"),
        (Some("api vault"), "api vault", "vault api"),
        (Some("api"), "", "api"),
        (None, "", "vault"),
        (None, "vault", "api"),
    ] {
        let found = matching_audiences(&list(token), &list("api"), &list(asked)).ok();
        assert_eq!(found, want.map(list), "{token:?} for {asked:?}");
    }
    let error = matching_audiences(&list("vault"), &[], &list("api")).unwrap_err();
    assert_eq!(error.to_string(), r#"token audiences ["vault"] is invalid for the target audiences ["api"]"#);
}

fn live(gvr: &Gvr, _: &str, name: &str) -> Option<Meta> {
    let uid = match (&*gvr.resource, name) {
        ("serviceaccounts", "builder") => "account-uid",
        ("pods", "web") => "pod-uid",
        ("nodes", "n2") => "node-uid",
        _ => return None,
    };
    Some(Meta { name: name.to_owned(), uid: uid.to_owned(), ..Meta::default() })
}

#[test]
fn objects_behind_a_token_must_live() {
    let check = |change: &dyn Fn(&mut Claims)| {
        let mut claims = claims();
        change(&mut claims);
        check_objects(&claims, at(1_500), &live).map_err(|e| e.to_string())
    };
    assert_eq!(check(&|_| {}), Ok(()), "a pod's node is not looked up");
    assert_eq!(
        check(&|c| c.kubernetes.serviceaccount.uid = "old".into()).unwrap_err(),
        "service account UID (account-uid) does not match claim (old)"
    );
    assert_eq!(
        check(&|c| c.kubernetes.serviceaccount.name = "gone".into()).unwrap_err(),
        "serviceaccounts \"gone\" not found"
    );
    assert_eq!(
        check(&|c| c.kubernetes.pod = Some(bound("web", "old"))).unwrap_err(),
        "pod UID (pod-uid) does not match service account pod ref claim (old)"
    );
    for change in [
        &(|c: &mut Claims| c.kubernetes.pod = Some(bound("gone", "x"))) as &dyn Fn(&mut Claims),
        &|c| c.kubernetes.secret = Some(bound("gone", "x")),
        &|c| c.kubernetes.pod = None,
    ] {
        assert_eq!(check(change).unwrap_err(), "service account token has been invalidated");
    }
    let on_node = |c: &mut Claims| {
        c.kubernetes.pod = None;
        c.kubernetes.node = Some(bound("n2", "node-uid"));
    };
    assert_eq!(check(&on_node), Ok(()));
}

#[test]
fn deleted_objects_count_for_another_minute() {
    let deleted = |seconds: i64| {
        move |gvr: &Gvr, namespace: &str, name: &str| {
            let deletion_timestamp = (*gvr == objects::PODS).then(|| at(seconds).to_string());
            live(gvr, namespace, name).map(|meta| Meta { deletion_timestamp, ..meta })
        }
    };
    assert!(check_objects(&claims(), at(1_500), &deleted(1_450)).is_ok());
    assert!(check_objects(&claims(), at(1_500), &deleted(1_400)).is_err());
}

#[test]
fn users_carry_what_the_token_is_bound_to() {
    let user = user(&claims());
    assert_eq!(user.name, "system:serviceaccount:default:builder");
    assert_eq!(
        user.groups,
        ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    );
    let extra: Vec<_> = user.extra.iter().map(|(k, v)| format!("{k}={}", v.join(","))).collect();
    assert_eq!(
        extra,
        [
            "authentication.kubernetes.io/credential-id=JTI=id-1",
            "authentication.kubernetes.io/node-name=n1",
            "authentication.kubernetes.io/node-uid=node-uid",
            "authentication.kubernetes.io/pod-name=web",
            "authentication.kubernetes.io/pod-uid=pod-uid",
        ]
    );
}

proptest! {
    #[test]
    fn garbage_never_opens(token in "[A-Za-z0-9_.-]{0,200}") {
        prop_assert!(open_with(&token, KEY.public()).is_err());
    }

    /// Every changed character makes the token worthless.
    #[test]
    fn tampering_never_opens(at in 0_usize..400, byte in "[A-Za-z0-9_.-]") {
        let token = KEY.sign(&claims()).unwrap();
        let at = at % token.len();
        let mut forged = token.clone();
        forged.replace_range(at..=at, &byte);
        // The last character of a signature carries two bits that base64 ignores; the decoder refuses them.
        prop_assume!(forged != token);
        prop_assert!(open_with(&forged, KEY.public()).is_err());
    }

    #[test]
    fn extreme_times_do_not_overflow(exp: i64, nbf: i64, iat: i64) {
        let _ = check_times(&Claims { exp, nbf, iat, ..claims() }, at(1_500));
    }
}
