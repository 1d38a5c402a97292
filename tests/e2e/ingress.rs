//! Ingresses on a real node: from a port of the node to real containers, by curl.

use crate::{
    kubectl::Kubectl,
    node::{Node, until},
};
use std::{
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

const PORTS: &str = "ingress: listening";

/// Where the node serves: HTTP, HTTPS. The ports follow from the name of the cluster.
pub(crate) fn ports(node: &mut Node) -> [u16; 2] {
    let of = |log: &str, tls: &str| {
        let line = log.lines().rfind(|line| line.contains(PORTS) && line.contains(&format!("tls={tls}")))?;
        let address = line.split("address=").nth(1)?.split_whitespace().next()?;
        address.rsplit(':').next()?.parse().ok()
    };
    let colours = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    until("the node listens", || {
        let log = node.server().log();
        let log = colours.replace_all(&log, "");
        Some([of(&log, "false")?, of(&log, "true")?])
    })
}

/// Status and body of an answer.
pub(crate) fn curl(arguments: &[&str]) -> Option<(u16, String)> {
    let output = Command::new("curl")
        .args(["-s", "-m", "10", "-w", "\n%{http_code}"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let (body, status) = text.rsplit_once('\n')?;
    Some((status.parse().ok().filter(|status| *status > 0)?, body.to_owned()))
}

fn get(port: u16, host: &str, path: &str) -> Option<(u16, String)> {
    get_at("127.0.0.1", port, host, path)
}

fn get_at(address: &str, port: u16, host: &str, path: &str) -> Option<(u16, String)> {
    curl(&["-H", &format!("Host: {host}"), &format!("http://{address}:{port}{path}")])
}

#[test]
fn ingresses_lead_to_pods() {
    let mut node = Node::start();
    let kubectl = node.kubectl();
    kubectl.run("wait --for=create ingressclass/proa --timeout=60s").ok();
    kubectl.run("get ingressclass").ok().matches(r"^proa \(default\) +proa.dev/ingress +<none> +");
    kubectl.run("create deployment hasher --image=dockercoins/hasher:v0.1 --replicas=2").ok();
    kubectl.run("create deployment rng --image=dockercoins/rng:v0.1").ok();
    kubectl.run("expose deployment hasher --port 80").ok();
    kubectl.run("expose deployment rng --port 80").ok();
    for name in ["hasher", "rng"] {
        kubectl.run(&format!("rollout status deployment/{name} --timeout=110s")).ok();
    }
    kubectl.run("create ingress hasher --rule=hash.example/*=hasher:80").ok();
    kubectl.run("wait --for=jsonpath='{.status.loadBalancer.ingress[0].ip}'=127.0.0.1 ingress/hasher --timeout=60s").ok();
    kubectl.run("get ingress").ok().matches(r"^hasher +proa +hash.example +127.0.0.1 +80 +");
    let [http, https] = ports(&mut node);
    both_pods_answer(http);
    paths_lead_to_services(&kubectl, http);
    nothing_is_lost_while_pods_come_and_go(&kubectl, http);
    tls_is_served_by_secret(&kubectl, &mut node, http, https);
    what_is_not_supported_is_told(&kubectl);
    kubectl.run("delete ingress --all").ok();
    until("the port is free again", || get(http, "hash.example", "/").is_none().then_some(()));
}

#[test]
fn every_node_serves() {
    let mut node = Node::start_several(2);
    let kubectl = node.kubectl();
    kubectl.run("create deployment hasher --image=dockercoins/hasher:v0.1").ok();
    kubectl.run("expose deployment hasher --port 80").ok();
    kubectl.run("rollout status deployment/hasher --timeout=110s").ok();
    kubectl.run("create ingress hasher --class=proa --rule=hash.example/*=hasher:80").ok();
    kubectl
        .run("wait --for=jsonpath='{.status.loadBalancer.ingress[1].ip}' ingress/hasher --timeout=60s")
        .ok();
    let listed =
        kubectl.run("get ingress hasher -o jsonpath='{.status.loadBalancer.ingress[*].ip}'").ok().stdout;
    let nodes = kubectl.run("get nodes -o jsonpath='{.items[*].status.addresses[0].address}'").ok().stdout;
    let sorted =
        |text: &str| text.split_whitespace().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&listed), sorted(&nodes));
    let [http, _] = ports(&mut node);
    for address in sorted(&listed) {
        let body = until("the node serves", || get_at(&address, http, "hash.example", "/"));
        assert_eq!(body.0, 200, "{address}: {}", body.1);
    }
}

fn both_pods_answer(http: u16) {
    let mut seen = std::collections::BTreeSet::new();
    until("both pods answer", || {
        let (status, body) = get(http, "hash.example", "/")?;
        assert_eq!(status, 200, "{body}");
        seen.insert(body);
        (seen.len() == 2).then_some(())
    });
    let hash = curl(&["-H", "Host: hash.example", "-d", "hello", &format!("http://127.0.0.1:{http}/")]);
    let known = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(hash, Some((200, known.to_owned())));
    assert_eq!(get(http, "other.example", "/").map(|(status, _)| status), Some(404));
}

fn paths_lead_to_services(kubectl: &Kubectl, http: u16) {
    kubectl
        .run("create ingress paths --rule=app.example/rng*=rng:80 --rule=app.example/hasher=hasher:80 --annotation nginx.ingress.kubernetes.io/rewrite-target=/")
        .ok();
    until("paths lead to their services", || {
        let (_, rng) = get(http, "app.example", "/rng/x")?;
        let (_, hasher) = get(http, "app.example", "/hasher")?;
        (rng.starts_with("RNG") && hasher.starts_with("HASHER")).then_some(())
    });
    assert_eq!(
        get(http, "app.example", "/hasher/x").map(|(status, _)| status),
        Some(404),
        "that path is exact"
    );
}

/// One client asks all the time, while ingresses change and pods are added.
fn nothing_is_lost_while_pods_come_and_go(kubectl: &Kubectl, http: u16) {
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let answer = get(http, "hash.example", "/");
                assert!(matches!(answer, Some((200, _))), "{answer:?}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        kubectl.run("scale deployment hasher --replicas=4").ok();
        kubectl.run("rollout status deployment/hasher --timeout=110s").ok();
        for size in ["2m", "3m", "4m"] {
            let annotation = format!("nginx.ingress.kubernetes.io/proxy-body-size={size}");
            kubectl.run(&format!("annotate ingress hasher --overwrite {annotation}")).ok();
        }
        let so_far = asked.load(Ordering::Relaxed);
        until("requests go on", || {
            (client.is_finished() || asked.load(Ordering::Relaxed) > so_far + 20).then_some(())
        });
        done.store(true, Ordering::Relaxed);
        client.join().expect("every request is answered");
    });
}

fn tls_is_served_by_secret(kubectl: &Kubectl, node: &mut Node, http: u16, https: u16) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["safe.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let folder = node.server().scratch().to_owned();
    let (certificate_file, key_file) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate_file, certificate.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let (certificate_file, key_file) = (certificate_file.display(), key_file.display());
    kubectl.run("create ingress safe --rule=safe.example/*=hasher:80,tls=safe").ok();
    kubectl.run(&format!("create secret tls safe --cert={certificate_file} --key={key_file}")).ok();
    let (resolve, url) =
        (format!("safe.example:{https}:127.0.0.1"), format!("https://safe.example:{https}/"));
    // Only the certificate of the secret is trusted.
    let trusted = ["--cacert", &certificate_file.to_string(), "--resolve", &resolve, &url].map(str::to_owned);
    let trusted: Vec<&str> = trusted.iter().map(String::as_str).collect();
    until("HTTPS is served with the secret's certificate", || {
        curl(&trusted).filter(|(status, body)| *status == 200 && body.starts_with("HASHER"))
    });
    let location = ["-o", "/dev/null", "-w", "%{redirect_url}\n%{http_code}", "-H", "Host: safe.example"];
    let url = format!("http://127.0.0.1:{http}/x?y=1");
    let redirected = Command::new("curl").arg("-s").args(location).arg(url).output().unwrap();
    let redirected = String::from_utf8_lossy(&redirected.stdout).into_owned();
    assert_eq!(redirected, format!("https://safe.example:{https}/x?y=1\n308"));
    kubectl.run("get ingress safe").ok().matches("80, 443");
}

fn what_is_not_supported_is_told(kubectl: &Kubectl) {
    kubectl.run("annotate ingress hasher nginx.ingress.kubernetes.io/enable-cors=true").ok();
    kubectl
        .follow("events --for ingress/hasher --watch")
        .until("nginx.ingress.kubernetes.io/enable-cors: it is not supported and has no effect");
}
