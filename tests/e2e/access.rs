//! Who is asked for, and what RBAC says: auth, impersonation, tokens, certificates, none of them.

use crate::{
    kubectl::Kubectl,
    server::{PROA, Server},
};
use std::process::Command;

/// kubectl with no more than a name and a password, which no authenticator asks for; kubectl would ask for them.
fn stranger(server: &Server) -> Kubectl {
    let kubectl = server.kubectl();
    let authority = "config view --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}'";
    let authority = kubectl.run(authority).ok().stdout;
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: '{}', certificate-authority-data: {authority}}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{username: nobody, password: nothing}}}}, {{name: none, user: {{}}}}]\n",
        server.url()
    );
    let path = kubectl.file("stranger.kubeconfig", &config);
    kubectl.reached_by(path.as_ref())
}

#[test]
fn the_administrator_may_do_everything() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl
        .run("auth whoami")
        .ok()
        .matches("^Username +kubernetes-admin$")
        .matches(r"^Groups +\[system:masters system:authenticated\]$");
    kubectl.run("auth can-i create pods").ok().prints("yes");
    kubectl.run("auth can-i '*' '*'").ok().prints("yes");
    kubectl.run("auth can-i --list").ok().matches(r"^\*\.\* +\[\] +\[\] +\[\*\]$");
    kubectl.run("auth can-i get /metrics").ok().prints("yes");
}

#[test]
fn roles_give_what_they_say() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.run("create role reader --verb=get,list,watch --resource=configmaps").ok();
    kubectl.run("create rolebinding jane --role=reader --user=jane").ok();
    kubectl.run("create configmap m").ok();
    kubectl.run("get cm m -o name --as=jane").ok().prints("configmap/m");
    kubectl.run("delete cm m --as=jane").fails(&[
        r#"Error from server (Forbidden): configmaps "m" is forbidden: User "jane" cannot delete resource "configmaps" in API group "" in the namespace "default""#,
    ]);
    kubectl.run("get cm -A --as=jane").fails(&[
        r#"configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" at the cluster scope"#,
    ]);
    kubectl.run("auth can-i get configmaps --as=jane").ok().prints("yes");
    kubectl.run("auth can-i delete configmaps --as=jane").code(1).prints("no");
    kubectl.run("auth can-i get configmaps -n kube-system --as=jane").code(1).prints("no");
    kubectl.run("auth can-i --list --as=jane").ok().matches(r"^configmaps +\[\] +\[\] +\[get list watch\]$");
    kubectl
        .run("auth whoami --as=jane --as-group=team")
        .ok()
        .matches("^Username +jane$")
        .matches(r"^Groups +\[team system:authenticated\]$");
    kubectl.run("create clusterrole imp --verb=impersonate --resource=users --resource-name=jane").ok();
    // Nobody gives away what he does not have, and nobody becomes someone without leave.
    kubectl.run("create role admin --verb=* --resource=* --as=jane").code(1).warns(&["Forbidden"]);
    let jane = client_of(&server, "jane");
    jane.run("get cm m --as=bob").fails(&[r#"users "bob" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope"#]);
    jane.run("get cm m -o name").ok().prints("configmap/m");
    jane.run("get nodes").fails(&["Forbidden"]);
    // The named roles of upstream, bound to a group.
    kubectl.run("create rolebinding team --clusterrole=edit --group=team").ok();
    kubectl.run("auth can-i create deployments --as=x --as-group=team").ok().prints("yes");
    kubectl.run("auth can-i create roles --as=x --as-group=team").code(1);
}

/// kubectl with a certificate of the cluster's for this user.
fn client_of(server: &Server, user: &str) -> Kubectl {
    let data = server.data();
    let output = Command::new(PROA)
        .args(["kubeconfig", "--name", &server.name, "--user", user, "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kubectl = server.kubectl();
    let config = String::from_utf8(output.stdout).unwrap();
    // The kubeconfig names the port that the name stands for; this server has another.
    let theirs = config.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap().to_owned();
    let theirs = theirs.trim_matches('"').to_owned();
    let path = kubectl.file(&format!("{user}.kubeconfig"), &config.replace(&theirs, &server.url()));
    kubectl.reached_by(path.as_ref())
}

#[test]
fn who_shows_nothing_is_anonymous_and_wrong_tokens_are_refused() {
    let server = Server::start(&["--disable", "all"]);
    let stranger = stranger(&server);
    stranger.run("get --raw /api/v1/nodes").fails(&[r#"nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope"#]);
    stranger.run("get --raw /version").ok().shows(&["gitVersion"]);
    stranger.run("get --raw /readyz").ok().prints("ok");
    stranger.run("get nodes --user=none --token=wrong").fails(&["You must be logged in to the server"]);
    stranger.run("get --raw /version --user=none --token=wrong").code(1);
    let kubectl = server.kubectl();
    kubectl.run("create serviceaccount robot").ok();
    let token = kubectl.run("create token robot --duration=10m").ok().stdout.trim().to_owned();
    stranger
        .run(&format!("auth whoami --user=none --token={token}"))
        .ok()
        .matches("^Username +system:serviceaccount:default:robot$");
    stranger
        .run(&format!("get cm --user=none --token={token}"))
        .fails(&["system:serviceaccount:default:robot"]);
    kubectl.run("create rolebinding robot --clusterrole=view --serviceaccount=default:robot").ok();
    stranger.run(&format!("get cm -o name --user=none --token={token}")).ok();
    stranger.run(&format!("get secrets --user=none --token={token}")).fails(&["Forbidden"]);
    let mut broken = token.clone();
    broken.pop();
    stranger
        .run(&format!("get cm --user=none --token={broken}"))
        .fails(&["You must be logged in to the server"]);
    // A token ends with its account.
    kubectl.run("delete serviceaccount robot").ok();
    stranger
        .run(&format!("get cm --user=none --token={token}"))
        .fails(&["You must be logged in to the server"]);
}

#[test]
fn bootstrap_tokens_are_secrets_of_the_cluster() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl
        .run(
            "create secret generic bootstrap-token-abc123 -n kube-system --type=bootstrap.kubernetes.io/token \
             --from-literal=token-id=abc123 --from-literal=token-secret=0123456789abcdef \
             --from-literal=usage-bootstrap-authentication=true \
             --from-literal=auth-extra-groups=system:bootstrappers:workers",
        )
        .ok();
    let stranger = stranger(&server);
    stranger
        .run("auth whoami --user=none --token=abc123.0123456789abcdef")
        .ok()
        .matches("^Username +system:bootstrap:abc123$")
        .matches(r"^Groups +\[system:bootstrappers system:bootstrappers:workers system:authenticated\]$");
    kubectl.run("delete secret bootstrap-token-abc123 -n kube-system").ok();
    stranger
        .run("auth whoami --user=none --token=abc123.0123456789abcdef")
        .fails(&["You must be logged in to the server"]);
}

#[test]
fn roles_are_reconciled_and_nobody_gives_more_than_he_has() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    let role = |verbs: &str| {
        format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: r, namespace: default}}, \
             rules: [{{apiGroups: [''], resources: [pods], verbs: [{verbs}]}}]}}"
        )
    };
    let wider = kubectl.file("wider.yaml", &role("get, list"));
    let other = kubectl.file("other.yaml", &role("watch"));
    kubectl.run(&format!("auth reconcile -f {wider}")).ok().shows(&["r reconciled"]);
    kubectl.run(&format!("auth reconcile -f {other}")).ok().shows(&["r reconciled"]);
    kubectl.run("create rolebinding jane --role=r --user=jane").ok();
    kubectl.run("auth can-i list pods --as=jane").ok().prints("yes");
    kubectl.run("auth can-i watch pods --as=jane").ok().prints("yes");
    // The right to write roles is none to give away what one does not have.
    kubectl.run("create role writer --verb=get,create,update,patch --resource=roles").ok();
    kubectl.run("create rolebinding writer --role=writer --user=jane").ok();
    let beyond = kubectl.file("beyond.yaml", &role("delete"));
    kubectl
        .run(&format!("auth reconcile -f {beyond} --as=jane"))
        .code(1)
        .warns(&["attempting to grant RBAC permissions"]);
}

#[test]
fn anonymous_requests_are_answered_where_the_configuration_says() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        config.path(),
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AuthenticationConfiguration, \
         anonymous: {enabled: true, conditions: [{path: /readyz}]}}",
    )
    .unwrap();
    let flag = format!("--authentication-config={}", config.path().display());
    let server = Server::start(&["--disable", "all", &flag]);
    let stranger = stranger(&server);
    stranger.run("get --raw /readyz").ok().prints("ok");
    stranger.run("get --raw /version").fails(&["You must be logged in to the server"]);
    server.kubectl().run("get --raw /version").ok();
}
