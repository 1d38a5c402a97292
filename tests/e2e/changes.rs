//! Pods that change while they run, and what they mount besides their own: trust bundles and images.

use crate::{
    kubectl::Kubectl,
    node::{Node, SHELL, until},
};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: IMAGE
    command: [sleep, '3600']
    resources: {requests: {cpu: 100m}, limits: {cpu: 200m}}
    volumeMounts:
    - {name: trust, mountPath: /trust}
    - {name: image, mountPath: /image}
  volumes:
  - name: image
    image: {reference: IMAGE}
  - name: trust
    projected:
      sources:
      - clusterTrustBundle: {name: plain, path: one.pem}
      - clusterTrustBundle: {signerName: example.com/ca, labelSelector: {}, path: all.pem, optional: true}
";

#[test]
fn pods_are_debugged_and_resized_and_mount_trust_and_images() {
    let mut node = Node::start();
    let kubectl = node.kubectl();
    let authority = authority(&kubectl);
    kubectl.pipe(&POD.replace("IMAGE", SHELL), "apply -f -").ok();
    until("the pod waits for what it trusts", || {
        let events = kubectl.run("events --for pod/app").ok().stdout;
        events.contains("clustertrustbundle.certificates.k8s.io \"plain\" not found").then_some(())
    });
    trust(&kubectl, "plain", "", &authority);
    kubectl.run("wait --for=condition=Ready pod/app --timeout=110s").ok();
    mounts(&kubectl, &authority);
    resized(&kubectl);
    debugged(&kubectl);
    kubectl.run("delete pod app --timeout=110s").ok();
    node.down();
}

/// The certificate of the cluster's own authority.
fn authority(kubectl: &Kubectl) -> String {
    let asked = "get configmap kube-root-ca.crt -o jsonpath='{.data.ca\\.crt}'";
    until("the cluster's certificate is told", || {
        let found = kubectl.run(asked);
        found.stdout.contains("BEGIN CERTIFICATE").then(|| found.stdout.trim().to_owned())
    })
}

fn trust(kubectl: &Kubectl, name: &str, signer: &str, certificate: &str) {
    let signer = if signer.is_empty() { String::new() } else { format!("\n  signerName: {signer}") };
    let certificate = certificate.replace('\n', "\n    ");
    let bundle = format!(
        "apiVersion: certificates.k8s.io/v1\nkind: ClusterTrustBundle\nmetadata: {{name: \"{name}\"}}\n\
         spec:{signer}\n  trustBundle: |\n    {certificate}\n"
    );
    kubectl.pipe(&bundle, "apply -f -").ok();
}

fn mounts(kubectl: &Kubectl, authority: &str) {
    kubectl.run("exec app -- cat /trust/one.pem").ok().prints(authority);
    kubectl.run("exec app -- cat /trust/all.pem").ok().prints("");
    trust(kubectl, "example.com:ca:a", "example.com/ca", authority);
    kubectl
        .run("get clustertrustbundles --field-selector spec.signerName=example.com/ca")
        .ok()
        .shows(&["example.com:ca:a"]);
    until("a bundle that came later is there", || {
        let found = kubectl.run("exec app -- cat /trust/all.pem").ok().stdout;
        (found.trim() == authority).then_some(())
    });
    kubectl.run("exec app -- ls /image").ok().shows(&["bin"]);
    kubectl.run("exec app -- touch /image/new").code(1).warns(&["Read-only file system"]);
}

fn resized(kubectl: &Kubectl) {
    let resize = |cpu: &str| {
        let change = format!(
            r#"{{"spec": {{"containers": [{{"name": "app", "resources": {{"limits": {{"cpu": "{cpu}"}}}}}}]}}}}"#
        );
        kubectl.run(&format!("patch pod app --subresource resize -p '{change}'")).ok();
        let wanted = "jsonpath={.status.containerStatuses[0].resources.limits.cpu}";
        kubectl.run(&format!("wait pod/app --for={wanted}={cpu} --timeout=110s")).ok();
        let quota =
            "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d \" \" -f 1 /sys/fs/cgroup/cpu.max";
        kubectl.run(&format!("exec app -- sh -c '{quota}'")).ok().stdout.trim().to_owned()
    };
    assert_eq!(resize("400m"), "40000");
    assert_eq!(resize("150m"), "15000");
    kubectl.run("get pod app -o jsonpath='{.status.containerStatuses[0].restartCount}'").ok().prints("0");
    kubectl
        .run("patch pod app --subresource resize -p '{\"spec\": {\"containers\": [{\"name\": \"app\", \"resources\": {\"requests\": {\"cpu\": \"1\"}}}]}}'")
        .fails(&["must be less than or equal to cpu limit of 150m"]);
    kubectl
        .run("patch pod app -p '{\"spec\": {\"containers\": [{\"name\": \"app\", \"resources\": {\"limits\": {\"cpu\": \"1\"}}}]}}'")
        .fails(&["pod updates may not change fields other than"]);
    kubectl.run("events --for pod/app").ok().shows(&["ResizeStarted", "ResizeCompleted"]);
}

/// A debugger sees the processes of its target, and can be talked to.
fn debugged(kubectl: &Kubectl) {
    kubectl.run(&format!("debug app --image={SHELL} --target=app -c first -- cat /proc/1/cmdline")).ok();
    let done = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=0";
    kubectl.run(&format!("wait pod/app --for={done} --timeout=110s")).ok();
    kubectl.run("logs app -c first").ok().shows(&["sleep"]);
    let line = format!("debug -i -q app --image={SHELL} -c second -- sh");
    // The runtime lets go of the output when the input ends, as containers that keep their input can be attached again.
    kubectl.pipe("echo answer $((40 + 2))\nexit\n", &line).ok();
    until("the debugger has answered", || {
        kubectl.run("logs app -c second").ok().stdout.contains("answer 42").then_some(())
    });
    kubectl.run("get pod app -o jsonpath='{.spec.ephemeralContainers[*].name}'").ok().prints("first second");
}
