//! Certificates of requests with keys of several sorts.

use super::*;
use crate::plan::{Asked, parse};
use rcgen::{BasicConstraints, IsCa};

fn authority() -> (Authority, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let pem = params.self_signed(&key).unwrap().pem();
    (Authority::from_pem(&pem, &key.serialize_pem()).unwrap(), pem)
}

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn request(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["n1.example".to_owned(), "192.0.2.7".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:n1");
    params.serialize_request(key).unwrap().der().to_vec()
}

#[test]
fn subject_names_and_key_are_those_of_the_request() {
    let (authority, of_authority) = authority();
    let (_, root) = parse_x509_pem(of_authority.as_bytes()).unwrap();
    let root = root.parse_x509().unwrap();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let usages: Vec<Box<str>> = vec!["digital signature".into(), "server auth".into()];
        let pem = authority.sign(&request(&key), &usages, Duration::from_hours(24), now()).unwrap();
        let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
        let made = block.parse_x509().unwrap();
        made.verify_signature(Some(root.public_key())).unwrap();
        assert_eq!(made.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
        assert_eq!(made.subject().to_string(), "CN=system:node:n1, O=system:nodes");
        assert_eq!(made.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
        assert!(!made.is_ca() && made.extended_key_usage().unwrap().unwrap().value.server_auth);
        let validity = made.validity();
        let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        assert_eq!((begin - now().as_second(), end - begin), (-300, 86_400));
    }
}

#[test]
fn a_certificate_does_not_outlive_its_authority_and_forged_requests_are_refused() {
    let (authority, _) = authority();
    let key = KeyPair::generate().unwrap();
    let mut forged = request(&key);
    let late = "2039-12-31T00:00:00Z".parse().unwrap();
    let pem = authority.sign(&forged, &[], Duration::from_hours(24 * 365), late).unwrap();
    let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
    assert_eq!(
        Timestamp::from_second(block.parse_x509().unwrap().validity().not_after.timestamp()).unwrap(),
        authority.not_after
    );
    let ended = "2041-01-01T00:00:00Z".parse().unwrap();
    assert!(matches!(authority.sign(&forged, &[], Duration::from_hours(1), ended), Err(Error::Ended)));
    let at = forged.windows(2).position(|pair| pair == b"n1").unwrap();
    forged[at] = b'm';
    assert!(matches!(authority.sign(&forged, &[], Duration::from_hours(1), now()), Err(Error::Request(_))));
}

#[test]
fn a_request_tells_who_and_for_which_names() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["192.0.2.7".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "jane");
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let mut view = crate::observe::RequestView::default();
    view.spec.request = BASE64_STANDARD.encode(pem).into();
    let Asked { common_name, organizations, names, .. } = parse(&view).unwrap();
    assert_eq!((common_name.as_str(), organizations.len()), ("jane", 0));
    assert_eq!(names, [false, false, true, false]);
    // Readers that take another one must not see another user.
    params.distinguished_name.push(rcgen::DnType::CustomDnType(vec![2, 5, 4, 3]), "system:node:x");
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    view.spec.request = BASE64_STANDARD.encode(pem).into();
    assert_eq!(parse(&view).unwrap_err(), "the subject has several common names");
    view.spec.request = BASE64_STANDARD.encode("nonsense").into();
    assert!(parse(&view).is_err());
}
