//! What is on disk, what is renewed, and that both sides of a handshake accept it.

use super::*;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    crypto::ring::default_provider,
    pki_types::{PrivateKeyDer, ServerName},
    server::WebPkiClientVerifier,
};
use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

fn subject(further: &[&str]) -> Subject {
    Subject {
        service_ip: [10, 96, 0, 1].into(),
        advertise: [192, 168, 7, 9].into(),
        domain: "cluster.local".to_owned(),
        further: further.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn text(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

/// Common name and organizations.
fn identity(pem: &str) -> (String, Vec<String>) {
    let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
    let (_, certificate) = parse_x509_certificate(&block.contents).unwrap();
    let name = certificate.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
    let groups = certificate.subject().iter_organization().map(|o| o.as_str().unwrap().to_owned()).collect();
    (name, groups)
}

#[test]
fn a_second_start_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    Pki::load_or_create(&pki, &subject(&[])).unwrap();
    let names =
        ["ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-client.key", "apiserver.crt", "sa.key"];
    let before: Vec<_> = names.iter().map(|name| text(&pki, name)).collect();
    Pki::load_or_create(&pki, &subject(&[])).unwrap();
    assert_eq!(names.map(|name| text(&pki, name)).to_vec(), before);
    for entry in fs::read_dir(&pki).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    assert_eq!(fs::metadata(&pki).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn the_serving_certificate_follows_its_names_and_authority() {
    let dir = tempfile::tempdir().unwrap();
    Pki::load_or_create(dir.path(), &subject(&[])).unwrap();
    let first = text(dir.path(), "apiserver.crt");
    Pki::load_or_create(dir.path(), &subject(&["api.example.com"])).unwrap();
    let second = text(dir.path(), "apiserver.crt");
    assert_ne!(first, second);

    // Half of a pair, as a crash between two writes leaves it.
    fs::write(dir.path().join("apiserver.crt"), &first).unwrap();
    Pki::load_or_create(dir.path(), &subject(&[])).unwrap();
    assert_ne!(text(dir.path(), "apiserver.crt"), first);

    for name in ["ca.crt", "ca.key"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let third = text(dir.path(), "apiserver.crt");
    Pki::load_or_create(dir.path(), &subject(&[])).unwrap();
    assert_ne!(text(dir.path(), "apiserver.crt"), third, "a new authority signs anew");
}

#[tokio::test]
async fn the_server_has_a_name_of_its_own_towards_node_agents() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(dir.path(), &subject(&[])).unwrap();
    let relay = pki.relay().unwrap();
    assert_eq!(identity(&relay.certificate), (AGENTS_CLIENT.to_owned(), vec![MASTERS.to_owned()]));
    assert_eq!(relay.agent_ca.as_deref(), Some(pki.client_ca_pem()));
    assert_eq!(pki.relay().unwrap().certificate, relay.certificate, "kept, not made anew");
}

#[test]
fn certificates_are_renewed_before_they_end() {
    let now = SystemTime::now();
    let (authority, _) = Authority::new("kubernetes", now, AUTHORITY_LIFETIME).unwrap();
    let profile = Profile::client("ann", &["devs".to_owned()]);
    let issued = authority.issue(&profile, now, LIFETIME).unwrap();
    assert!(authority.is_right(&issued, &profile, now + RENEWAL));
    assert!(!authority.is_right(&issued, &profile, now + LIFETIME + DAY));
    for other in [
        Profile::client("ann", &[]),
        Profile::client("bob", &["devs".to_owned()]),
        Profile::serving("ann", BTreeSet::new()),
    ] {
        assert!(!authority.is_right(&issued, &other, now), "{other:?}");
    }
    let (stranger, _) = Authority::new("kubernetes", now, AUTHORITY_LIFETIME).unwrap();
    assert!(!stranger.is_right(&issued, &profile, now));
    assert!(authority.ends_before(now + AUTHORITY_LIFETIME + DAY));
}

#[test]
fn damage_is_reported_with_the_files_name() {
    let dir = tempfile::tempdir().unwrap();
    let fails = |dir: &Path| format!("{:#}", Pki::load_or_create(dir, &subject(&[])).unwrap_err());
    Pki::load_or_create(dir.path(), &subject(&[])).unwrap();
    let key = text(dir.path(), "ca.key");
    fs::write(dir.path().join("ca.key"), text(dir.path(), "front-proxy-ca.key")).unwrap();
    assert!(fails(dir.path()).contains("do not belong together"));
    fs::remove_file(dir.path().join("ca.key")).unwrap();
    assert!(fails(dir.path()).contains("put the key back"));
    fs::write(dir.path().join("ca.key"), key).unwrap();
    fs::write(dir.path().join("sa.key"), "no key").unwrap();
    assert!(fails(dir.path()).contains("sa.key"));
    let missing = dir.path().join("missing");
    assert!(format!("{:#}", Pki::load(&missing).unwrap_err()).contains("ca.crt does not exist"));
    let error = Pki::load_or_create(&missing, &subject(&["not a name\u{e9}"])).unwrap_err();
    assert!(format!("{error:#}").contains("neither a DNS name nor an address"));
}

#[test]
fn users_have_all_their_groups() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(dir.path(), &subject(&[])).unwrap();
    for groups in [&[][..], &["devs"], &["devs", "ops", "a-group-with-a-name-that-is-rather-long", "d"]] {
        let groups: Vec<_> = groups.iter().map(|&g| g.to_owned()).collect();
        let issued = pki.authority.issue(&Profile::client("ann", &groups), SystemTime::now(), DAY).unwrap();
        assert_eq!(identity(&issued.certificate), ("ann".to_owned(), groups));
        handshake(&pki, &issued, "kubernetes.default.svc");
    }
}

#[test]
fn every_name_of_the_server_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(dir.path(), &subject(&["api.example.com", "203.0.113.5"])).unwrap();
    let issued = pki.authority.issue(&Profile::client("ann", &[]), SystemTime::now(), DAY).unwrap();
    for name in [
        "kubernetes",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "10.96.0.1",
        "192.168.7.9",
        "127.0.0.1",
        "::1",
        "api.example.com",
        "203.0.113.5",
    ] {
        handshake(&pki, &issued, name);
    }
}

#[test]
fn the_admin_kubeconfig_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(dir.path(), &subject(&[])).unwrap();
    let path = dir.path().join("admin.kubeconfig");
    pki.write_admin_kubeconfig(&path, "https://192.168.7.9:6443", "proa").unwrap();
    let first = fs::read_to_string(&path).unwrap();
    pki.write_admin_kubeconfig(&path, "https://192.168.7.9:6443", "proa").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), first);
    pki.write_admin_kubeconfig(&path, "https://192.168.7.9:7443", "proa").unwrap();
    assert_ne!(fs::read_to_string(&path).unwrap(), first);
    assert_eq!(
        identity(&text(dir.path(), "admin.crt")),
        ("kubernetes-admin".to_owned(), vec!["system:masters".to_owned()])
    );
}

#[test]
fn a_node_gets_credentials_of_its_own_once() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(dir.path(), &subject(&[])).unwrap();
    let node = dir.path().join("node");
    let users = [
        ("agent", "system:node:n-2".to_owned(), vec!["system:nodes".to_owned()]),
        ("dns", "system:proa:operator:dns".to_owned(), Vec::new()),
    ];
    let write = |address: [u8; 4]| {
        pki.write_node_credentials(&node, "n-2", address.into(), "https://10.245.0.1:6443", "proa", &users)
            .unwrap();
        ["agent.crt", "agent.key", "ca.crt", "agent.kubeconfig", "dns.kubeconfig"]
            .map(|name| text(&node, name))
    };
    let first = write([10, 245, 0, 2]);
    assert_eq!(write([10, 245, 0, 2]), first, "what is right is kept");
    let agent = identity(&text(&node, "agent-client.crt"));
    assert_eq!(agent, ("system:node:n-2".to_owned(), vec!["system:nodes".to_owned()]));
    let config = kube::config::Kubeconfig::from_yaml(&first[4]).unwrap();
    assert_eq!(config.auth_infos[0].name, "system:proa:operator:dns");
    let other = write([10, 245, 0, 3]);
    assert_ne!(other[0], first[0], "the agent serves at another address");
    assert_eq!(other[3], first[3]);
}

#[test]
fn kubeconfigs_are_read_by_clients() {
    let dir = tempfile::tempdir().unwrap();
    Pki::load_or_create(dir.path(), &subject(&[])).unwrap();
    let pki = Pki::load(dir.path()).unwrap();
    assert!(pki.serving().is_err());
    let user = "odd \"user\": #1";
    let text = pki.kubeconfig("https://[::1]:6443", "proa", user, &["devs".to_owned()], 7).unwrap();
    let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    assert_eq!(config.current_context.as_deref(), Some("odd \"user\": #1@proa"));
    let cluster = config.clusters[0].cluster.as_ref().unwrap();
    assert_eq!(cluster.server.as_deref(), Some("https://[::1]:6443"));
    assert_eq!(config.auth_infos[0].name, user);
    assert!(config.auth_infos[0].auth_info.as_ref().unwrap().client_key_data.is_some());
}

#[test]
fn the_signing_key_survives_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::load_or_create(dir.path(), &subject(&[])).unwrap().signing_key().unwrap();
    let second = Pki::load(dir.path()).unwrap().signing_key().unwrap();
    assert_eq!(first.public(), second.public());
}

/// Both sides verify each other.
fn handshake(pki: &Pki, client: &Issued, name: &str) {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in pki.client_ca_der() {
        roots.add(certificate).unwrap();
    }
    let roots = Arc::new(roots);
    let serving = pki.serving().unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build().unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(serving.certificates, serving.key)
        .unwrap();
    let certificate = CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let name_of = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name_of).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap_or_else(|error| panic!("server, {name}: {error}"));
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap_or_else(|error| panic!("client, {name}: {error}"));
    }
    assert!(server.peer_certificates().is_some());
}
