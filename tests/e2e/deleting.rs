//! delete with its cascades, finalizers, namespaces that end, and what nobody owns any more.

use crate::{kubectl::example, server::Server};

fn with_web() -> Server {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run(&format!("apply -f {}", example("web/web.yaml"))).ok();
    kubectl.run("rollout status deployment/web").ok();
    server
}

#[test]
fn background_deletion_takes_the_children_afterwards() {
    let server = with_web();
    let kubectl = server.kubectl();
    kubectl
        .run("delete deployment web")
        .ok()
        .prints("deployment.apps \"web\" deleted from default namespace");
    kubectl.run("wait --for=delete rs -l app=web --timeout=60s").ok();
    kubectl.run("wait --for=delete pod -l app=web --timeout=60s").ok();
    kubectl.run("get deployment,rs,pod").ok().prints("");
}

#[test]
fn foreground_deletion_takes_the_children_first() {
    let server = with_web();
    let kubectl = server.kubectl();
    let patch = r#"{"metadata":{"finalizers":["example.com/hold"]}}"#;
    let set = kubectl.run("get rs -l app=web -o name").ok().stdout.trim().to_owned();
    kubectl.run(&format!("patch {set} --type=merge -p '{patch}'")).ok();
    kubectl.run("delete deployment web --cascade=foreground --wait=false").ok();
    kubectl
        .run("get deployment web -o jsonpath='{.metadata.finalizers}'")
        .ok()
        .prints(r#"["foregroundDeletion"]"#);
    kubectl.run("wait --for=delete pod -l app=web --timeout=60s").ok();
    kubectl.run("get deployment web -o name").ok().prints("deployment.apps/web");
    kubectl
        .run(&format!(
            "patch {set} --type=json -p '[{{\"op\":\"remove\",\"path\":\"/metadata/finalizers\"}}]'"
        ))
        .ok();
    kubectl.run("wait --for=delete deployment/web --timeout=60s").ok();
    kubectl.run("get rs").ok().prints("");
}

#[test]
fn orphans_stay_and_are_adopted() {
    let server = with_web();
    let kubectl = server.kubectl();
    kubectl.run("delete deployment web --cascade=orphan").ok();
    kubectl.run("wait --for=delete deployment/web --timeout=60s").ok();
    kubectl.run("get rs -l app=web -o jsonpath='{.items[0].metadata.ownerReferences}'").ok().prints("");
    kubectl.run("get pods -l app=web -o name").ok().matches("(pod/web-[-a-z0-9]+\n){3}");
    let set = kubectl.run("get rs -l app=web -o jsonpath='{.items[0].metadata.uid}'").ok().stdout;
    kubectl.run(&format!("apply -f {}", example("web/web.yaml"))).ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("wait --for=jsonpath='{.items[0].metadata.ownerReferences[0].kind}'=Deployment rs -l app=web --timeout=1s").code(1);
    kubectl
        .run("get rs -l app=web -o jsonpath='{.items[*].metadata.uid} {.items[*].metadata.ownerReferences[0].kind}'")
        .ok()
        .prints(&format!("{set} Deployment"));
}

#[test]
fn a_namespace_takes_its_content_along() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run("create namespace gone").ok();
    kubectl.run("wait --for=create serviceaccount/default -n gone --timeout=60s").ok();
    kubectl.run(&format!("apply -n gone -f {}", example("web/web.yaml"))).ok();
    kubectl.run("rollout status deployment/web -n gone").ok();
    kubectl.run(&format!("apply -f {}", example("crontab/crd.yaml"))).ok();
    kubectl.run("wait --for=condition=Established crd/crontabs.stable.example.com --timeout=60s").ok();
    kubectl.run(&format!("apply -n gone -f {}", example("crontab/crontab.yaml"))).ok();
    kubectl.run("create configmap -n gone held").ok();
    kubectl
        .run(r#"patch cm held -n gone --type=merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'"#)
        .ok();
    kubectl.run("delete namespace gone --wait=false").ok();
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Terminating namespace/gone --timeout=60s").ok();
    kubectl.run("wait --for=condition=NamespaceFinalizersRemaining namespace/gone --timeout=60s").ok();
    kubectl.run("create configmap -n gone late").fails(&["configmaps \"late\" is forbidden: unable to create new content in namespace gone because it is being terminated"]);
    kubectl.run(r#"patch cm held -n gone --type=merge -p '{"metadata":{"finalizers":null}}'"#).ok();
    kubectl.run("wait --for=delete namespace/gone --timeout=60s").ok();
    kubectl.run("get deploy,rs,po,cm,ct,svc,sa -n gone").ok().prints("");
    kubectl.run("delete namespace default").fails(&["Forbidden", "this namespace may not be deleted"]);
}

#[test]
fn deletion_takes_selectors_files_and_waits() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    for name in ["a", "b", "c", "d"] {
        kubectl.run(&format!("create configmap {name}")).ok();
    }
    kubectl.run("label cm a b x=y").ok();
    kubectl.run("delete cm -l x=y").ok().shows(&["configmap \"a\" deleted", "configmap \"b\" deleted"]);
    kubectl.run("delete cm none").fails(&[r#"configmaps "none" not found"#]);
    kubectl.run("delete cm none --ignore-not-found").ok();
    kubectl.run("delete cm c --dry-run=server").ok().shows(&["deleted", "(server dry run)"]);
    kubectl.run("get cm c -o name").ok().prints("configmap/c");
    kubectl.run(r#"patch cm c --type=merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'"#).ok();
    kubectl.run("delete cm c --timeout=1s").fails(&["timed out waiting for the condition on configmaps/c"]);
    // It says that it deletes before it starts to wait, so the release cannot come too early.
    let mut ending = kubectl.follow("delete cm c --timeout=60s");
    ending.until("configmap \"c\" deleted");
    kubectl.run(r#"patch cm c --type=merge -p '{"metadata":{"finalizers":null}}'"#).ok();
    kubectl.run("wait --for=delete cm/c --timeout=60s").ok();
    kubectl.run("delete cm --all").ok().shows(&["configmap \"d\" deleted"]);
    let file = kubectl.file("map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n");
    kubectl.run(&format!("create -f {file}")).ok();
    kubectl.run(&format!("delete -f {file} --now")).ok();
}

#[test]
fn objects_whose_owner_is_gone_are_collected() {
    let server = Server::start(&[]);
    let kubectl = server.kubectl();
    kubectl.run("create configmap owner").ok();
    let uid = kubectl.run("get cm owner -o jsonpath='{.metadata.uid}'").ok().stdout;
    let owned = |name: &str, uid: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]\n"
        )
    };
    kubectl.pipe(&owned("child", &uid), "create -f -").ok();
    kubectl.pipe(&owned("stranger", "00000000-0000-0000-0000-000000000000"), "create -f -").ok();
    kubectl.run("wait --for=delete cm/stranger --timeout=60s").ok();
    kubectl.run("get cm child -o name").ok().prints("configmap/child");
    kubectl.run("delete cm owner").ok();
    kubectl.run("wait --for=delete cm/child --timeout=60s").ok();
}
