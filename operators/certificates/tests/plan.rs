//! Golden cases of the certificates operator.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use proa_kit::testing::golden;
use proa_operator_certificates::{
    build::Authority,
    observe::PodRequestView,
    plan::{clean, plan},
    rules,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

#[test]
fn plans_match_the_golden_cases() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let authority = Authority::from_pem(&pem, &key.serialize_pem()).unwrap();
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        let observed = serde_json::from_value(case.observed.clone()).unwrap_or_default();
        plan(&case.object(), &observed, Some(&authority), case.now)
    });
}

#[test]
fn a_pods_request_goes_after_a_quarter_of_an_hour() {
    let request =
        r#"{"metadata": {"name": "r", "namespace": "ns", "creationTimestamp": "2026-01-01T00:00:00Z"}}"#;
    let request: PodRequestView = serde_json::from_str(request).unwrap();
    let early = clean::pod(&request, "2026-01-01T00:14:59Z".parse().unwrap());
    assert_eq!((early.actions.len(), early.requeue_after.map(|wait| wait.as_secs())), (0, Some(1)));
    assert_eq!(clean::pod(&request, "2026-01-01T00:15:00Z".parse().unwrap()).actions.len(), 1);
}

#[test]
fn rules_name_the_signers() {
    let rules = rules().to_string();
    assert!(rules.contains(r#""resourceNames":["kubernetes.io/kube-apiserver-client-kubelet"]"#), "{rules}");
}
