//! Certificates that users and nodes ask for, and what joining nodes are told: with openssl's requests and kubectl.

use crate::{kubectl::Kubectl, server::Server};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{path::Path, process::Command};

/// A new key and a request of it, as base64.
fn request(dir: &Path, name: &str, subject: &str) -> String {
    let (key, request) = (dir.join(format!("{name}.key")), dir.join(format!("{name}.csr")));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout"]);
    let output = openssl.arg(&key).arg("-out").arg(&request).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    BASE64_STANDARD.encode(std::fs::read(request).unwrap())
}

fn ask(kubectl: &Kubectl, name: &str, signer: &str, usages: &str, request: &str, flags: &str) {
    let object = format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\n\
         spec: {{signerName: kubernetes.io/{signer}, usages: [{usages}], expirationSeconds: 3600, request: {request}}}\n"
    );
    kubectl.pipe(&object, &format!("create -f - {flags}")).ok();
}

fn certificate(kubectl: &Kubectl, name: &str) -> String {
    kubectl.run(&format!("wait --for=jsonpath='{{.status.certificate}}' csr/{name} --timeout=60s")).ok();
    kubectl.run(&format!("get csr {name} -o jsonpath='{{.status.certificate}}'")).ok().stdout
}

#[test]
fn an_approved_request_becomes_a_certificate_that_works() {
    let server = Server::start(&[]);
    let kubectl = server.kubectl();
    let dir = server.scratch();
    let asked = request(dir, "jane", "/O=devs/O=ops/CN=jane");
    ask(&kubectl, "jane", "kube-apiserver-client", "client auth", &asked, "");
    kubectl.run("get csr jane").ok().matches(r"Pending$");
    kubectl.run("certificate approve jane").ok();
    let certificate = certificate(&kubectl, "jane");
    kubectl.run("get csr jane").ok().matches(r"Approved,Issued$");
    let authority = "config view --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}'";
    let authority = kubectl.run(authority).ok().stdout;
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: '{}', certificate-authority-data: {authority}}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         users: [{{name: u, user: {{client-certificate-data: {certificate}, client-key: {}}}}}]\n",
        server.url(),
        dir.join("jane.key").display()
    );
    let path = kubectl.file("jane.kubeconfig", &config);
    let jane = server.kubectl().reached_by(path.as_ref());
    jane.run("auth whoami")
        .ok()
        .matches("^Username +jane$")
        .matches(r"^Groups +\[devs ops system:authenticated\]$");
    // What the signer does not hand out fails, although somebody approved it.
    ask(&kubectl, "server", "kube-apiserver-client", "client auth, server auth", &asked, "");
    kubectl.run("certificate approve server").ok();
    kubectl.run("wait --for=condition=Failed csr/server --timeout=60s").ok();
    let message = "get csr server -o jsonpath='{.status.conditions[?(@.type==\"Failed\")].message}'";
    kubectl.run(message).ok().prints("invalid usage for client certificate: server auth");
}

#[test]
fn a_node_renews_its_certificate_by_itself() {
    let server = Server::start(&[]);
    let kubectl = server.kubectl();
    let asked = request(server.scratch(), "n1", "/O=system:nodes/CN=system:node:n1");
    let itself = "--as=system:node:n1 --as-group=system:nodes --as-group=system:authenticated";
    let usages = "digital signature, client auth";
    ask(&kubectl, "n1", "kube-apiserver-client-kubelet", usages, &asked, itself);
    assert!(!certificate(&kubectl, "n1").is_empty());
    let reason = "get csr n1 -o jsonpath='{.status.conditions[0].reason}'";
    kubectl.run(reason).ok().prints("AutoApproved");
}

#[test]
fn a_token_signs_what_joining_nodes_are_told_until_it_ends() {
    let server = Server::start(&[]);
    let kubectl = server.kubectl();
    let token = "create secret generic bootstrap-token-abcdef -n kube-system --type=bootstrap.kubernetes.io/token \
        --from-literal=token-id=abcdef --from-literal=token-secret=0123456789abcdef --from-literal=usage-bootstrap-signing=true";
    kubectl.run(token).ok();
    let signed =
        "wait --for=jsonpath='{.data.jws-kubeconfig-abcdef}' cm/cluster-info -n kube-public --timeout=60s";
    kubectl.run(signed).ok();
    kubectl.run("get cm cluster-info -n kube-public -o name --as=system:anonymous").ok();
    let ended = "patch secret bootstrap-token-abcdef -n kube-system -p '{\"stringData\":{\"expiration\":\"2026-01-01T00:00:00Z\"}}'";
    kubectl.run(ended).ok();
    kubectl.run("wait --for=delete secret/bootstrap-token-abcdef -n kube-system --timeout=60s").ok();
}
