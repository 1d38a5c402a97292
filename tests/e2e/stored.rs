//! What lies on the disk: secrets under keys, objects in versions, and how both are brought up to date.

use crate::{kubectl::Kubectl, server::Server};
use std::{fs, path::Path};

const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
    metadata: {name: toys.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n  \
    names: {plural: toys, singular: toy, kind: Toy}\n  versions:\n";

fn definition(stored: &str) -> String {
    let version = |name: &str| {
        format!(
            "  - {{name: {name}, served: true, storage: {}, schema: {{openAPIV3Schema: {{type: object}}}}}}\n",
            name == stored
        )
    };
    format!("{DEFINITION}{}{}", version("v1"), version("v2"))
}

/// Stores all objects of a resource anew.
fn migrate(kubectl: &Kubectl, name: &str, group: &str, resource: &str) {
    let migration = format!(
        "apiVersion: storagemigration.k8s.io/v1\nkind: StorageVersionMigration\nmetadata: {{name: {name}}}\n\
         spec: {{resource: {{group: '{group}', resource: {resource}}}}}\n"
    );
    kubectl.pipe(&migration, "create -f -").ok();
    kubectl.run(&format!("wait storageversionmigration/{name} --for=condition=Succeeded --timeout=60s")).ok();
}

/// Whether a text is in the store's files.
fn lies(server: &Server, text: &str) -> bool {
    let files = fs::read_dir(server.data().join("store")).unwrap();
    let mut contents = files.map(|file| fs::read(file.unwrap().path()).unwrap());
    contents.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[test]
fn a_migration_brings_objects_into_the_present_version() {
    let server = Server::start(&[]);
    let kubectl = server.kubectl();
    kubectl.pipe(&definition("v1"), "apply -f -").ok();
    kubectl.run("wait crd/toys.example.com --for=condition=Established --timeout=60s").ok();
    kubectl.pipe("apiVersion: example.com/v1\nkind: Toy\nmetadata: {name: bear}\n", "create -f -").ok();
    kubectl.pipe(&definition("v2"), "apply -f -").ok();
    let stored = "-o jsonpath={.status.storedVersions}";
    let both = r#"crd/toys.example.com --for=jsonpath={.status.storedVersions[1]}=v2 --timeout=60s"#;
    kubectl.run(&format!("wait {both}")).ok();
    let in_new_form = r#","apiVersion":"example.com/v2"}"#;
    assert!(!lies(&server, in_new_form));
    migrate(&kubectl, "toys", "example.com", "toys");
    kubectl.run("wait storageversionmigration/toys --for=condition=Running=False --timeout=60s").ok();
    kubectl.run(&format!("get crd toys.example.com {stored}")).ok().prints(r#"["v2"]"#);
    assert!(lies(&server, in_new_form));
    kubectl.run("get storageversionmigrations").ok().matches(r"^toys +toys\.example\.com +Succeeded$");
}

fn configuration(file: &Path, providers: &[&str]) {
    let providers: Vec<String> = providers.iter().map(|one| format!("  - {one}\n")).collect();
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers:\n{}",
        providers.concat()
    );
    fs::write(file, text).unwrap();
}

#[test]
fn secrets_lie_encrypted_and_their_keys_are_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("encryption.yaml");
    let one = "aescbc: {keys: [{name: one, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}";
    let two = "secretbox: {keys: [{name: two, secret: ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=}]}";
    configuration(&file, &[one]);
    let mut server = Server::start(&["--encryption-provider-config", file.to_str().unwrap()]);
    let kubectl = server.kubectl();
    kubectl.run("create secret generic s --from-literal=word=xyzzyplugh").ok();
    let word = "get secret s -o jsonpath={.data.word}";
    let plain = "eHl6enlwbHVnaA==";
    assert!(lies(&server, "k8s:enc:aescbc:v1:one:") && !lies(&server, plain));
    // A new first key; the old one still reads.
    configuration(&file, &[two, one]);
    server.stop();
    server.start_again();
    kubectl.run(word).ok().prints(plain);
    migrate(&kubectl, "rotate", "", "secrets");
    assert!(lies(&server, "k8s:enc:secretbox:v1:two:"));
    // Nothing needs the old key any more.
    configuration(&file, &[two]);
    server.stop();
    server.start_again();
    kubectl.run(word).ok().prints(plain);
    assert!(!lies(&server, plain));
}
