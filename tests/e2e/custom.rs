//! A kind of one's own, from its definition to its end.

use crate::{kubectl::example, server::Server};

fn with_crontabs() -> Server {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl
        .run(&format!("apply -f {}", example("crontab/crd.yaml")))
        .ok()
        .prints("customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created");
    kubectl.run("wait --for=condition=Established crd/crontabs.stable.example.com --timeout=60s").ok();
    server
}

fn crontab(name: &str, spec: &str) -> String {
    format!("apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

#[test]
fn objects_of_a_defined_kind_are_like_any_others() {
    let server = with_crontabs();
    let kubectl = server.kubectl();
    kubectl.run("get crd").ok().matches(r"^crontabs\.stable\.example\.com +Namespaced +v1\(storage\) +\S+Z$");
    kubectl.run("get ct").ok().warns(&["No resources found in default namespace."]);
    kubectl
        .run(&format!("apply -f {}", example("crontab/crontab.yaml")))
        .ok()
        .prints("crontab.stable.example.com/nightly created");
    kubectl
        .run("get ct")
        .ok()
        .matches("^NAME +SPEC +REPLICAS +AGE$")
        .matches(r"^nightly +0 3 \* \* \* +1 +\d+s$");
    kubectl
        .run("get ct -o wide")
        .ok()
        .matches("^NAME +SPEC +REPLICAS +IMAGE +AGE$")
        .shows(&["registry.example/cron:1"]);
    kubectl.run("get crontab nightly -o jsonpath='{.spec.image}'").ok().prints("registry.example/cron:1");
    kubectl.run("get all").ok().shows(&["crontab.stable.example.com/nightly"]);
    kubectl
        .run("api-resources --api-group=stable.example.com")
        .ok()
        .matches(r"^crontabs +ct +stable\.example\.com/v1 +true +CronTab$");
    kubectl.run("explain ct.spec").ok().shows(&[
        "KIND:       CronTab",
        "cronSpec",
        "-required-",
        "When it runs.",
    ]);
    kubectl.run("explain ct --recursive").ok().matches(r"^    replicas\t<integer>$");
    kubectl.run("describe ct nightly").ok().matches("^  Cron Spec: +0 3");
    kubectl.run("scale ct nightly --replicas=3").ok().prints("crontab.stable.example.com/nightly scaled");
    kubectl
        .run("get --raw /apis/stable.example.com/v1/namespaces/default/crontabs/nightly/scale")
        .ok()
        .shows(&[r#""kind":"Scale""#, r#""spec":{"replicas":3}"#]);
    kubectl.run(r#"patch ct nightly --subresource=status --type=merge -p '{"status":{"phase":"Running","replicas":3},"spec":{"replicas":9}}'"#).ok();
    kubectl
        .run("get ct nightly -o jsonpath='{.status.phase} {.status.replicas} {.spec.replicas}'")
        .ok()
        .prints("Running 3 3");
    kubectl.run(r#"patch ct nightly --type=merge -p '{"status":{"phase":"Lost"}}'"#).ok();
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Running ct/nightly --timeout=60s").ok();
    kubectl.run("get ct nightly -o jsonpath='{.metadata.generation}'").ok().prints("2");
    kubectl
        .run("patch ct nightly -p '{\"spec\":{\"replicas\":4}}'")
        .fails(&["application/strategic-merge-patch+json", "not supported"]);
    kubectl
        .pipe(
            &crontab("nightly", "{cronSpec: 1 3 * * *, replicas: 5}"),
            "apply --server-side --force-conflicts -f -",
        )
        .ok();
    kubectl.run("get ct nightly -o jsonpath='{.spec.cronSpec} {.spec.replicas}'").ok().prints("1 3 * * * 5");
    kubectl
        .run("delete ct --all")
        .ok()
        .prints("crontab.stable.example.com \"nightly\" deleted from default namespace");
}

#[test]
fn schemas_refuse_prune_and_fill_in() {
    let server = with_crontabs();
    let kubectl = server.kubectl();
    kubectl.pipe(&crontab("x", "{cronSpec: often}"), "create -f -").fails(&[
        r#"The CronTab "x" is invalid: spec.cronSpec: Invalid value: "often": spec.cronSpec in body should match '^(\S+ ){4}\S+$'"#,
    ]);
    kubectl.pipe(&crontab("x", "{replicas: 1}"), "create -f -").fails(&["spec.cronSpec: Required value"]);
    kubectl.pipe(&crontab("x", "{cronSpec: 1 1 1 1 1, replicas: 11}"), "create -f -").fails(&[
        "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
    ]);
    kubectl
        .pipe(&crontab("x", "{cronSpec: 1 1 1 1 1, mode: Never}"), "create -f -")
        .fails(&[r#"spec.mode: Unsupported value: "Never": supported values: "Once", "Always""#]);
    kubectl.pipe(&crontab("x", "{cronSpec: 5}"), "create -f -").fails(&[
        r#"spec.cronSpec: Invalid value: "integer": spec.cronSpec in body must be of type string: "integer""#,
    ]);
    kubectl
        .pipe(&crontab("x", "{cronSpec: 1 1 1 1 1, colour: red}"), "create -f -")
        .fails(&[r#"unknown field "spec.colour""#]);
    kubectl
        .pipe(&crontab("x", "{cronSpec: 1 1 1 1 1, colour: red}"), "create -f - --validate=warn")
        .ok()
        .warns(&[r#"Warning: unknown field "spec.colour""#]);
    kubectl.run("get ct x -o jsonpath='{.spec}'").ok().hides(&["colour"]).shows(&["cron:1"]);
    kubectl.run("create -f /dev/null").code(1);
}

#[test]
fn what_is_stored_is_read_with_the_present_schema() {
    let server = with_crontabs();
    let kubectl = server.kubectl();
    kubectl.pipe(&crontab("old", "{cronSpec: '* * * * *'}"), "create -f -").ok();
    let properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let patch = |patch: &str| {
        kubectl.run(&format!("patch crd crontabs.stable.example.com --type=json -p '{patch}'")).ok();
    };
    patch(&format!(
        r#"[{{"op":"add","path":"{properties}/color","value":{{"type":"string","default":"red"}}}}]"#
    ));
    kubectl.run("wait ct/old --for=jsonpath={.spec.color}=red --timeout=60s").ok();
    kubectl.run("get ct -o jsonpath={.items[*].spec.color}").ok().prints("red");
    // A patch meets what readers see.
    kubectl
        .run(r#"patch ct old --type=json -p '[{"op":"replace","path":"/spec/color","value":"blue"}]'"#)
        .ok();
    kubectl.run("get ct old -o jsonpath={.spec.color}").ok().prints("blue");
    patch(&format!(
        r#"[{{"op":"remove","path":"{properties}/color"}},{{"op":"add","path":"{properties}/size","value":{{"type":"integer","default":3}}}}]"#
    ));
    kubectl.run("wait ct/old --for=jsonpath={.spec.size}=3 --timeout=60s").ok();
    kubectl.run("get ct old -o jsonpath={.spec.color}").ok().prints("");
}

#[test]
fn a_definition_that_goes_takes_its_objects_along() {
    let server = with_crontabs();
    let kubectl = server.kubectl();
    kubectl.run(&format!("apply -f {}", example("crontab/crontab.yaml"))).ok();
    let mut watch = kubectl.follow("get ct -w --output-watch-events");
    watch.until("ADDED");
    kubectl.run("delete crd crontabs.stable.example.com").ok();
    watch.until("DELETED");
    // kubectl still remembers the kind; the server does not.
    kubectl.run("get ct").fails(&["the server could not find the requested resource"]);
    kubectl.run("api-versions").ok().hides(&["stable.example.com"]);
    kubectl.run(&format!("apply -f {}", example("crontab/crd.yaml"))).ok();
    kubectl.run("wait --for=condition=Established crd/crontabs.stable.example.com --timeout=60s").ok();
    kubectl.run("get ct -o name").ok().prints("");
}

#[test]
fn definitions_are_checked_themselves() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    let text = std::fs::read_to_string(example("crontab/crd.yaml")).unwrap();
    let misnamed = text.replace("  name: crontabs.stable", "  name: wrong.stable");
    kubectl.pipe(&misnamed, "create -f -").fails(&[
        r#"metadata.name: Invalid value: "wrong.stable.example.com": must be spec.names.plural+"."+spec.group"#,
    ]);
    let unstructured = text.replace("cronSpec: {type: string,", "cronSpec: {");
    kubectl.pipe(&unstructured, "create -f -").fails(&[
        "spec.validation.openAPIV3Schema.properties[spec].properties[cronSpec].type: Required value: must not be empty for specified object fields",
    ]);
    let unstored = text.replace("storage: true", "storage: false");
    kubectl
        .pipe(&unstored, "create -f -")
        .fails(&["must have exactly one version marked as storage version"]);
}

const RULED: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.sea.example.com}
spec:
  group: sea.example.com
  scope: Namespaced
  names: {plural: boats, singular: boat, kind: Boat}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        x-kubernetes-validations:
        - {rule: "!has(self.status) || self.status.rowers <= self.spec.oars", message: more rowers than oars}
        properties:
          spec:
            type: object
            x-kubernetes-validations:
            - rule: self.oars % 2 == 0
              messageExpression: "'%d oars do not come in pairs'.format([self.oars])"
              fieldPath: .oars
            properties:
              oars: {type: integer, default: 2}
              port: {type: string, maxLength: 20, x-kubernetes-validations: [{rule: self == oldSelf, message: is home, reason: FieldValueForbidden}]}
              crew: {type: array, maxItems: 8, items: {type: string, maxLength: 20, x-kubernetes-validations: [{rule: self.startsWith('x')}]}}
          status: {type: object, properties: {rowers: {type: integer}}}
"#;

#[test]
fn rules_of_a_definition_hold() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    let expensive = RULED.replace("maxItems: 8, ", "").replace("self.startsWith('x')", "self.contains(self)");
    kubectl.pipe(&expensive, "create -f -").fails(&["estimated rule cost exceeds budget by factor of"]);
    kubectl
        .pipe(&RULED.replace("self.oars % 2", "self.oarz % 2"), "create -f -")
        .fails(&["compilation failed: ERROR: <input>:1:5: undefined field 'oarz'"]);
    kubectl.pipe(RULED, "create -f -").ok();
    kubectl.run("wait --for=condition=Established crd/boats.sea.example.com --timeout=60s").ok();
    let boat = |spec: &str| {
        format!("apiVersion: sea.example.com/v1\nkind: Boat\nmetadata: {{name: b}}\nspec: {spec}\n")
    };
    kubectl
        .pipe(&boat("{oars: 3}"), "create -f -")
        .fails(&[r#"The Boat "b" is invalid: spec.oars: Invalid value: 3 oars do not come in pairs"#]);
    kubectl.pipe(&boat("{port: here}"), "create -f -").ok();
    kubectl
        .run(r#"patch boat b --type=merge -p '{"spec":{"port":"there"}}'"#)
        .fails(&[r#"The Boat "b" is invalid: spec.port: Forbidden: is home"#]);
    kubectl
        .run(r#"patch boat b --type=merge --subresource=status -p '{"status":{"rowers":3}}'"#)
        .fails(&["more rowers than oars"]);
    kubectl.run(r#"patch boat b --type=merge --subresource=status -p '{"status":{"rowers":2}}'"#).ok();
    kubectl
        .run(r#"patch boat b --type=merge -p '{"spec":{"crew":["xa","b"]}}'"#)
        .fails(&[r#"spec.crew[1]: Invalid value: "b": failed rule: self.startsWith('x')"#]);
    kubectl.run(r#"patch boat b --type=merge -p '{"spec":{"crew":["xa","xb"]}}'"#).ok();
}
