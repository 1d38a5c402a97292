//! Kinds that are kept and shown, and on which no operator acts: devices; what the core itself acts on; autoscalers.

use crate::server::Server;

const CLAIM: &str = "apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata: {name: c}\n\
                     spec: {devices: {requests: [{name: one, exactly: {deviceClassName: gpu.example.com}}]}}\n";

#[test]
fn devices_are_given_by_those_who_may_bind() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.pipe(CLAIM, "apply -f -").ok().prints("resourceclaim.resource.k8s.io/c created");
    kubectl.run("get resourceclaims").ok().matches("^NAME +STATE +AGE$").matches(r"^c +pending +\d+s$");
    kubectl.run("create role status --verb=get,patch --resource=resourceclaims,resourceclaims/status").ok();
    kubectl.run("create rolebinding jane --role=status --user=jane").ok();
    let give = r#"patch resourceclaim c --subresource=status --type=merge -p '{"status":{"allocation":{}}}'"#;
    kubectl.run(&format!("{give} --as=jane")).fails(&[
        "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\"",
        "User \"jane\" cannot update resource \"resourceclaims/binding\"",
    ]);
    kubectl.run("create clusterrole binder --verb=update --resource=resourceclaims/binding").ok();
    kubectl.run("create clusterrolebinding jane --clusterrole=binder --user=jane").ok();
    kubectl.run(&format!("{give} --as=jane")).ok();
    kubectl.run("get resourceclaims").ok().matches(r"^c +allocated +\d+s$");

    let admin = CLAIM.replace("name: c}", "name: d}").replace("gpu.example.com", "gpu, adminAccess: true");
    kubectl.pipe(&admin, "apply -f -").fails(&["admin access to devices requires the \
        `resource.kubernetes.io/admin-access: true` label on the containing namespace"]);
    kubectl.run("label ns default resource.kubernetes.io/admin-access=true").ok();
    kubectl.pipe(&admin, "apply -f -").ok();

    let rule = "apiVersion: resource.k8s.io/v1\nkind: DeviceTaintRule\nmetadata: {name: r}\n\
                spec: {taint: {key: broken, effect: None}}\n";
    kubectl.pipe(rule, "apply -f -").ok();
    kubectl.run("get devicetaintrules").ok().matches(r"^r +broken +None +\d+s +\d+s$");
}

#[test]
fn a_cluster_knows_its_service_network_and_its_priorities() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.run("wait --for=condition=Ready servicecidr/kubernetes --timeout=30s").ok();
    kubectl.run("get servicecidr").ok().matches("^NAME +CIDRS +AGE$").matches(r"^kubernetes +\S+/\d+ +\d+s$");
    kubectl
        .run("get prioritylevelconfigurations")
        .ok()
        .matches(r"^exempt +Exempt +<none> +<none> +<none> +<none> +\d+s$")
        .matches(r"^workload-low +Limited +100 +128 +6 +50 +\d+s$");
    kubectl.run("wait --for=condition=Dangling=false flowschemas --all --timeout=30s").ok();
    kubectl
        .run("get flowschemas")
        .ok()
        .matches(r"^catch-all +catch-all +10000 +ByUser +\d+s +False$")
        .matches(r"^probes +exempt +2 +<none> +\d+s +False$");
    kubectl
        .run(r#"patch flowschema catch-all --type=merge -p '{"spec":{"matchingPrecedence":9}}'"#)
        .fails(&["spec of 'catch-all' must equal the fixed value"]);
}

#[test]
fn an_autoscaler_is_the_same_in_both_versions() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.run("create deployment web --image=none").ok();
    kubectl.run("autoscale deployment web --max=5 --cpu=60%").ok();
    kubectl.run("get hpa web").ok().matches(r"^web +Deployment/web +cpu: <unknown>/60% +1 +5 +0 +\d+s$");
    let v1 = "horizontalpodautoscalers.v1.autoscaling";
    let percent = "-o jsonpath='{.spec.targetCPUUtilizationPercentage}'";
    kubectl.run(&format!("get {v1} web {percent}")).ok().prints("60");
    let patch = r#"{"spec":{"targetCPUUtilizationPercentage":70}}"#;
    kubectl.run(&format!("patch {v1} web --type=merge -p '{patch}'")).ok();
    kubectl.run("get hpa web").ok().matches(r"^web +Deployment/web +cpu: <unknown>/70% +1 +5 +0 +\d+s$");
    kubectl.run(&format!("get {v1} web")).ok().shows(&["cpu: <unknown>/70%"]);
}
