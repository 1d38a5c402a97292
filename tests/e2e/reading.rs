//! get in all its forms, watches, selectors, describe, explain, discovery.

use crate::server::Server;

/// Three config maps, labelled, made in an order that is not the alphabet's.
fn with_maps() -> Server {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.run("create configmap b --from-literal=n=2").ok().prints("configmap/b created");
    kubectl.run("create configmap a --from-literal=n=3").ok();
    kubectl.run("create configmap c --from-literal=n=1 --from-literal=m=x").ok();
    kubectl.run("label configmap a b tier=front").ok();
    kubectl.run("label configmap c tier=back").ok().prints("configmap/c labeled");
    server
}

#[test]
fn get_prints_every_form() {
    let server = with_maps();
    let kubectl = server.kubectl();
    kubectl.run("get configmaps").ok().matches(r"^NAME +DATA +AGE$").matches(r"^c +2 +\d+s$");
    kubectl.run("get cm --no-headers").ok().hides(&["NAME"]);
    kubectl.run("get cm a -o name").ok().prints("configmap/a");
    kubectl.run("get cm a b -o name").ok().prints("configmap/a\nconfigmap/b");
    kubectl.run("get cm -L tier").ok().matches(r"^NAME +DATA +AGE +TIER$").matches(r"^c +2 +\d+s +back$");
    kubectl.run("get cm --show-labels").ok().matches(r"^a +1 +\d+s +tier=front$");
    kubectl.run("get cm -A").ok().matches(r"^NAMESPACE +NAME +DATA +AGE$").matches(r"^default +a +1 ");
    kubectl.run("get cm a -o jsonpath='{.data.n}'").ok().prints("3");
    kubectl
        .run("get cm -o jsonpath='{range .items[*]}{.metadata.name}={.data.n};{end}'")
        .ok()
        .prints("a=3;b=2;c=1;");
    kubectl
        .run("get cm -o custom-columns=NAME:.metadata.name,N:.data.n")
        .ok()
        .matches(r"^NAME +N$")
        .matches("^a +3$");
    kubectl.run("get cm b -o go-template='{{.data.n}}-{{.kind}}'").ok().prints("2-ConfigMap");
    let yaml =
        kubectl.run("get cm a -o yaml").ok().shows(&["apiVersion: v1", "kind: ConfigMap", "\"n\": \"3\""]);
    yaml.hides(&["managedFields"]);
    kubectl
        .run("get cm a -o yaml --show-managed-fields")
        .ok()
        .shows(&["managedFields:", "manager: kubectl-create"]);
    let json: serde_json::Value = serde_json::from_str(&kubectl.run("get cm a -o json").ok().stdout).unwrap();
    assert_eq!((&json["kind"], &json["data"]["n"]), (&"ConfigMap".into(), &"3".into()));
    let list: serde_json::Value = serde_json::from_str(&kubectl.run("get cm -o json").ok().stdout).unwrap();
    assert_eq!((&list["kind"], list["items"].as_array().map(Vec::len)), (&"List".into(), Some(3)));
    kubectl.run("get cm,sa -o name --ignore-not-found").ok().prints("configmap/a\nconfigmap/b\nconfigmap/c");
    kubectl.run("get --raw /api/v1/namespaces/default/configmaps/a").ok().shows(&[r#""kind":"ConfigMap""#]);
}

#[test]
fn get_selects_sorts_and_pages() {
    let server = with_maps();
    let kubectl = server.kubectl();
    for (selector, names) in [
        ("tier=front", "a b"),
        ("tier!=front", "c"),
        ("'tier in (back,side)'", "c"),
        ("'tier notin (back),tier'", "a b"),
        ("'!tier'", ""),
    ] {
        let line = format!("get cm -l {selector} -o jsonpath='{{.items[*].metadata.name}}'");
        kubectl.run(&line).ok().prints(names);
    }
    kubectl.run("get cm --field-selector metadata.name=b -o name").ok().prints("configmap/b");
    kubectl.run("get cm --field-selector metadata.name!=b -o name").ok().prints("configmap/a\nconfigmap/c");
    kubectl
        .run("get cm --field-selector data.n=1")
        .fails(&[r#""data.n" is not a known field selector: only "metadata.name", "metadata.namespace""#]);
    kubectl.run("get cm --sort-by=.data.n -o name").ok().prints("configmap/c\nconfigmap/b\nconfigmap/a");
    kubectl.run("get cm --chunk-size=1 -o name").ok().prints("configmap/a\nconfigmap/b\nconfigmap/c");
    let first = kubectl.run("get --raw /api/v1/namespaces/default/configmaps?limit=1").ok();
    first.shows(&[r#""remainingItemCount":2"#, r#""continue":""#]);
}

#[test]
fn get_of_what_is_not_there_fails() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.run("get cm none").fails(&[r#"Error from server (NotFound): configmaps "none" not found"#]);
    kubectl.run("get cm none --ignore-not-found").ok().prints("");
    kubectl.run("get widgets").fails(&[r#"the server doesn't have a resource type "widgets""#]);
    kubectl.run("get cm -n nowhere").ok().warns(&["No resources found in nowhere namespace."]);
    kubectl
        .run("get --raw /api/v1/widgets")
        .fails(&["Error from server (NotFound): the server could not find the requested resource"]);
}

#[test]
fn a_watch_prints_what_changes() {
    let server = with_maps();
    let kubectl = server.kubectl();
    let mut all = kubectl.follow("get cm -w -o name");
    all.until("configmap/c");
    let mut events = kubectl.follow("get cm -l tier=front -w --output-watch-events");
    events.until("ADDED");
    events.until("ADDED");
    kubectl.run("create configmap d").ok();
    all.until("configmap/d");
    kubectl.run("label cm d tier=front").ok();
    assert!(events.until("ADDED").contains('d'), "an object that begins to match was added");
    kubectl.run("label cm d tier=back --overwrite").ok();
    assert!(events.until("DELETED").contains('d'), "an object that no longer matches was deleted");
    kubectl.run("delete cm a").ok();
    assert!(events.until("DELETED").contains('a'));
}

#[test]
fn describe_explain_and_discovery_know_the_kinds() {
    let server = with_maps();
    let kubectl = server.kubectl();
    kubectl
        .run("describe configmap c")
        .ok()
        .matches("^Name: +c$")
        .matches("^Labels: +tier=back$")
        .shows(&["Data\n====\nm:\n----\nx"]);
    kubectl.run("describe namespace default").ok().matches("^Status: +Active$");
    kubectl
        .run("describe service kubernetes")
        .ok()
        .matches("^Type: +ClusterIP$")
        .matches("^Port: +https  443/TCP$");
    kubectl
        .run("explain deployment --recursive")
        .ok()
        .shows(&["GROUP:      apps", "KIND:       Deployment", "VERSION:    v1"])
        .matches(r"^ +replicas\t<integer>$")
        .matches(r"^ +selector\t<LabelSelector> -required-$");
    kubectl.run("explain pod.spec.containers.image").ok().shows(&["FIELD: image <string>", "DESCRIPTION:"]);
    kubectl.run("explain pod.spec.nothing").fails(&[r#"field "nothing" does not exist"#]);
    kubectl.run("explain deployments.spec.strategy --api-version=apps/v1").ok().shows(&["rollingUpdate"]);
    kubectl
        .run("api-resources")
        .ok()
        .matches("^deployments +deploy +apps/v1 +true +Deployment$")
        .matches("^nodes +no +v1 +false +Node$");
    kubectl.run("api-resources --namespaced=false -o name").ok().shows(&["nodes"]).hides(&["configmaps"]);
    kubectl.run("api-resources --api-group=batch -o name").ok().prints("cronjobs.batch\njobs.batch");
    kubectl
        .run("api-resources --verbs=list -o name")
        .ok()
        .hides(&["bindings\n", "reviews"])
        .shows(&["leases.coordination.k8s.io"]);
    kubectl
        .run("api-versions")
        .ok()
        .matches("^apps/v1$")
        .matches("^v1$")
        .matches("^rbac.authorization.k8s.io/v1$");
    kubectl.run("version").ok().matches(r"^Server Version: v1\.37\.\d+\+proa\.\d+");
    kubectl.run("cluster-info").ok().shows(&["control plane", &server.url()]);
    kubectl.run("get --raw /readyz").ok().prints("ok");
    kubectl.run("get --raw '/livez?verbose'").ok().shows(&["[+]ping ok", "livez check passed"]);
    kubectl.run("get --raw /metrics").ok().shows(&["# TYPE apiserver_request"]);
}
