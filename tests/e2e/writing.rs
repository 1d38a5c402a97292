//! create, apply on both sides, diff, edit, replace, patch, label, annotate.

use crate::{kubectl::example, server::Server};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '1', b: '2'}\n";

fn server() -> Server {
    Server::start(&["--disable", "all"])
}

#[test]
fn create_makes_each_kind_it_has_a_word_for() {
    let server = server();
    let kubectl = server.kubectl();
    kubectl.pipe(MAP, "create -f -").ok().prints("configmap/m created");
    kubectl.pipe(MAP, "create -f -").fails(&[
        r#"Error from server (AlreadyExists): error when creating "STDIN": configmaps "m" already exists"#,
    ]);
    kubectl.run("create namespace n").ok().prints("namespace/n created");
    kubectl.run("create -n n secret generic s --from-literal=k=v").ok().prints("secret/s created");
    kubectl.run("get -n n secret s -o jsonpath='{.data.k} {.type}'").ok().prints("dg== Opaque");
    kubectl.run("create -n n serviceaccount robot").ok().prints("serviceaccount/robot created");
    kubectl.run("create -n n token robot").ok().matches(r"^\S+\.\S+\.\S+$");
    kubectl.run("create -n n deployment web --image=registry.example/web:1 --replicas=2").ok();
    kubectl.run("create -n n job once --image=registry.example/x:1 -- true").ok();
    kubectl.run("create -n n service clusterip svc --tcp=80:8080").ok().prints("service/svc created");
    kubectl.run("create -n n service nodeport np --tcp=80").ok();
    kubectl.run("get -n n service np -o jsonpath='{.spec.ports[0].nodePort}'").ok().matches(r"^1\d{4}$");
    kubectl.run("create -n n role reader --verb=get,list --resource=pods").ok();
    kubectl.run("create -n n rolebinding readers --role=reader --serviceaccount=n:robot").ok();
    kubectl.run("create clusterrole all --verb=* --resource=deployments.apps").ok();
    kubectl.run("create clusterrolebinding all --clusterrole=all --user=jane").ok();
    kubectl.run("create priorityclass high --value=1000").ok();
    kubectl.run("create configmap dry --dry-run=server -o name").ok().prints("configmap/dry");
    kubectl.run("get cm dry").fails(&["NotFound"]);
    let generated = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: gen-}\n";
    kubectl.pipe(generated, "create -f - -o name").ok().matches("^configmap/gen-[a-z0-9]{5}$");
    kubectl.run("create -n nowhere configmap x").fails(&[r#"namespaces "nowhere" not found"#]);
}

#[test]
fn apply_merges_three_ways() {
    let server = server();
    let kubectl = server.kubectl();
    kubectl.pipe(MAP, "apply -f -").ok().prints("configmap/m created");
    kubectl.pipe(MAP, "apply -f -").ok().prints("configmap/m unchanged");
    kubectl.run("patch cm m --type=merge -p '{\"data\":{\"other\":\"x\"}}'").ok();
    let without_a = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {b: '3'}\n";
    kubectl.pipe(without_a, "diff -f -").code(1).shows(&["-  a: \"1\"", "-  b: \"2\"", "+  b: \"3\""]);
    kubectl.pipe(without_a, "apply -f -").ok().prints("configmap/m configured");
    kubectl.run("get cm m -o jsonpath='{.data}'").ok().prints(r#"{"b":"3","other":"x"}"#);
    kubectl.pipe(without_a, "diff -f -").ok().prints("");
    kubectl.run("apply view-last-applied cm m").ok().shows(&["b: \"3\""]);
    // Lists with keys merge by key, as the strategic patch of a Deployment shows.
    let web = example("web/web.yaml");
    kubectl.run(&format!("apply -f {web}")).ok().prints("deployment.apps/web created\nservice/web created");
    kubectl.run("set env deployment/web COLOUR=blue").ok().prints("deployment.apps/web env updated");
    kubectl
        .run(&format!("apply -f {web}"))
        .ok()
        .prints("deployment.apps/web unchanged\nservice/web unchanged");
    kubectl
        .run("get deployment web -o jsonpath='{.spec.template.spec.containers[0].env[0].value}'")
        .ok()
        .prints("blue");
    kubectl
        .run(&format!("apply -f {web} --prune -l app=web --prune-allowlist=core/v1/Service --dry-run=server"))
        .ok();
}

#[test]
fn server_side_apply_owns_fields() {
    let server = server();
    let kubectl = server.kubectl();
    kubectl
        .pipe(MAP, "apply --server-side --field-manager=one -f -")
        .ok()
        .prints("configmap/m serverside-applied");
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '9', c: '3'}\n";
    kubectl
        .pipe(other, "apply --server-side --field-manager=two -f -")
        .fails(&[r#"Apply failed with 1 conflict: conflict with "one": .data.a"#, "--force-conflicts"]);
    kubectl.pipe(other, "apply --server-side --field-manager=two --force-conflicts -f -").ok();
    kubectl.run("get cm m -o jsonpath='{.data}'").ok().prints(r#"{"a":"9","b":"2","c":"3"}"#);
    // Who stops to name a field that nobody else owns removes it.
    let none = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n";
    kubectl.pipe(none, "apply --server-side --field-manager=one -f -").ok();
    kubectl.run("get cm m -o jsonpath='{.data}'").ok().prints(r#"{"a":"9","c":"3"}"#);
    kubectl
        .run("get cm m -o jsonpath='{.metadata.managedFields[*].manager}' --show-managed-fields")
        .ok()
        .shows(&["two"]);
    let web = example("web/web.yaml");
    kubectl
        .run(&format!("apply --server-side -f {web}"))
        .ok()
        .shows(&["deployment.apps/web serverside-applied"]);
    kubectl.run("scale deployment web --replicas=5").ok();
    kubectl.run(&format!("apply --server-side -f {web}")).fails(&["conflict", ".spec.replicas"]);
    kubectl
        .run(&format!("diff --server-side --force-conflicts -f {web}"))
        .code(1)
        .shows(&["-  replicas: 5", "+  replicas: 3"]);
}

#[test]
fn edit_and_replace_change_whole_objects() {
    let server = server();
    let kubectl = server.kubectl();
    kubectl.pipe(MAP, "create -f -").ok();
    let editor = kubectl.clone().with("KUBE_EDITOR", "sed -i 's/a: .1./a: edited/'");
    editor.run("edit configmap m").ok().prints("configmap/m edited");
    kubectl.run("get cm m -o jsonpath='{.data.a}'").ok().prints("edited");
    kubectl
        .clone()
        .with("KUBE_EDITOR", "true")
        .run("edit configmap m")
        .ok()
        .warns(&["Edit cancelled, no changes made."]);
    let script = kubectl.file("bad-editor", "#!/bin/sh\nsed -i 's/^data:/dota:/' \"$1\"\n");
    let bad = kubectl.clone().with("KUBE_EDITOR", &format!("sh {script}"));
    bad.run("edit configmap m")
        .code(1)
        .warns(&[r#"configmaps "m" is invalid"#, "no valid changes were saved"]);
    kubectl.pipe(MAP, "replace -f -").ok().prints("configmap/m replaced");
    kubectl.run("get cm m -o jsonpath='{.data.a}'").ok().prints("1");
    let stale = MAP.replace("{name: m}", "{name: m, resourceVersion: '1'}");
    kubectl.pipe(&stale, "replace -f -").fails(&[
        "Error from server (Conflict)",
        "the object has been modified; please apply your changes to the latest version and try again",
    ]);
    let uid = kubectl.run("get cm m -o jsonpath='{.metadata.uid}'").ok().stdout;
    kubectl
        .pipe(MAP, "replace --force -f -")
        .ok()
        .shows(&["configmap \"m\" deleted", "configmap/m replaced"]);
    let replaced = kubectl.run("get cm m -o jsonpath='{.metadata.uid}'").ok().stdout;
    assert_ne!(uid, replaced, "forced replacement makes a new object");
    kubectl.pipe(&MAP.replace("name: m", "name: other"), "replace -f -").fails(&["NotFound"]);
}

#[test]
fn patch_takes_three_types() {
    let server = server();
    let kubectl = server.kubectl();
    kubectl.run(&format!("create -f {}", example("web/web.yaml"))).ok();
    let image = "get deployment web -o jsonpath='{.spec.template.spec.containers[*].image}'";
    let strategic = r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:1"}]}}}}"#;
    kubectl.run(&format!("patch deployment web -p '{strategic}'")).ok().prints("deployment.apps/web patched");
    kubectl.run(image).ok().prints("side:1 registry.example/web:1");
    let json = r#"[{"op":"test","path":"/spec/replicas","value":3},{"op":"replace","path":"/spec/replicas","value":4},{"op":"remove","path":"/spec/template/spec/containers/0"}]"#;
    kubectl.run(&format!("patch deployment web --type=json -p '{json}'")).ok();
    kubectl.run(image).ok().prints("registry.example/web:1");
    kubectl.run(&format!("patch deployment web --type=json -p '{json}'")).fails(&["The request is invalid"]);
    let merge =
        r#"{"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"only","image":"only:1"}]}}}}"#;
    kubectl.run(&format!("patch deployment web --type=merge -p '{merge}'")).ok();
    kubectl.run(image).ok().prints("only:1");
    kubectl
        .run(&format!("patch deployment web --type=merge -p '{merge}'"))
        .ok()
        .prints("deployment.apps/web patched (no change)");
    kubectl.run(r#"patch deployment web --type=merge -p '{"spec":{"replicas":-1}}'"#).fails(&[
        r#"The Deployment "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#,
    ]);
    kubectl
        .run(r#"patch deployment web --subresource=status --type=merge -p '{"status":{"replicas":7}}'"#)
        .ok();
    kubectl
        .run("get deployment web --subresource=status -o jsonpath='{.status.replicas} {.spec.replicas}'")
        .ok()
        .prints("7 2");
}

#[test]
fn labels_and_annotations_change_in_place() {
    let server = server();
    let kubectl = server.kubectl();
    kubectl.pipe(MAP, "create -f -").ok();
    kubectl.run("label cm m a=1 b=2").ok().prints("configmap/m labeled");
    kubectl.run("label cm m a=2").fails(&["'a' already has a value (1), and --overwrite is false"]);
    kubectl.run("label cm m a=2 --overwrite").ok();
    kubectl.run("label cm m b-").ok().prints("configmap/m unlabeled");
    kubectl.run("get cm m -o jsonpath='{.metadata.labels}'").ok().prints(r#"{"a":"2"}"#);
    kubectl.run("label cm m 'bad key=1'").code(1);
    kubectl.run("annotate cm m note='two words'").ok().prints("configmap/m annotated");
    kubectl.run("annotate cm m note-").ok().prints("configmap/m annotated");
    kubectl.run("get cm m -o jsonpath='{.metadata.annotations}'").ok().prints("");
    kubectl.run("label cm m a=3 --overwrite --resource-version=1").fails(&["Conflict"]);
    kubectl.run("label cm --all x=y").ok().prints("configmap/m labeled");
}
