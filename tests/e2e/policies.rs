//! Admission policies as people who run kubectl meet them.

use crate::server::Server;

const LIMIT: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: limit.example.com}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules: [{operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments, deployments/scale]}]
  variables: [{name: most, expression: int(params.data.most)}]
  validations:
  - expression: object.spec.replicas <= variables.most
    messageExpression: \"'at most ' + string(variables.most) + ' replicas, ' + authorizer.group('').resource('pods').check('list').reason()\"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: limit.example.com}
spec:
  policyName: limit.example.com
  validationActions: [Deny]
  paramRef: {name: limit, namespace: default, parameterNotFoundAction: Allow}
";

const LABEL: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: label.example.com}
spec:
  matchConstraints:
    resourceRules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [configmaps]}]
  reinvocationPolicy: IfNeeded
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: \"Object{metadata: Object.metadata{labels: {'by': request.userInfo.username}}}\"
  - patchType: JSONPatch
    jsonPatch:
      expression: \"[JSONPatch{op: 'add', path: '/data', value: {'seen': string(size(object.metadata.labels))}}]\"
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: label.example.com}
spec: {policyName: label.example.com}
";

#[test]
fn a_policy_refuses_by_its_parameters() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    // Messages are made without the authorizer.
    kubectl.pipe(LIMIT, "apply -f -").fails(&[
        "spec.validations[0].messageExpression: Invalid value: ",
        "undeclared reference to 'authorizer' (in container '')",
    ]);
    let limit = LIMIT.replace(" + authorizer.group('').resource('pods').check('list').reason()", "");
    kubectl
        .pipe(&limit, "apply -f -")
        .ok()
        .shows(&["validatingadmissionpolicy.admissionregistration.k8s.io/limit.example.com created"]);
    let listed = kubectl.run("get validatingadmissionpolicies").ok();
    listed
        .matches("^NAME +VALIDATIONS +PARAMKIND +AGE$")
        .matches(r"^limit.example.com +1 +v1/ConfigMap +\d+s$");
    let listed = kubectl.run("get validatingadmissionpolicybindings").ok();
    listed
        .matches("^NAME +POLICYNAME +PARAMREF +AGE$")
        .matches("^limit.example.com +limit.example.com +default/limit ");
    kubectl.run("create deployment web --image=web --replicas=3").ok();
    kubectl.run("create configmap limit --from-literal=most=2").ok();
    let refused = "ValidatingAdmissionPolicy 'limit.example.com' with binding 'limit.example.com' denied request: \
                   at most 2 replicas,";
    kubectl.run("create deployment more --image=web --replicas=3").fails(&[refused]);
    kubectl.run("scale deployment web --replicas=4").fails(&[refused]);
    kubectl.run("scale deployment web --replicas=2").ok();
    kubectl
        .run("wait validatingadmissionpolicy limit.example.com --for=jsonpath={.status.observedGeneration}=1")
        .ok();
}

#[test]
fn a_policy_changes_what_is_created() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.pipe(LABEL, "apply -f -").ok();
    let listed = kubectl.run("get mutatingadmissionpolicies").ok();
    listed.matches("^NAME +MUTATIONS +PARAMKIND +AGE$").matches(r"^label.example.com +2 +<unset> +\d+s$");
    let shown = "-o jsonpath={.metadata.labels.by}/{.data.seen}";
    kubectl.run(&format!("create configmap a {shown} --dry-run=server")).ok().prints("kubernetes-admin/1");
    kubectl.run("create configmap a").ok();
    kubectl.run(&format!("get configmap a {shown}")).ok().prints("kubernetes-admin/1");
    kubectl.run("delete mutatingadmissionpolicybinding label.example.com").ok();
    kubectl.run(&format!("create configmap b {shown}")).ok().prints("/");
}
