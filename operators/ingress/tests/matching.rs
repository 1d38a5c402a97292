//! Matching compared with a naive reading of the Ingress documentation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use proa_kit::{Change, project::Dirty, views::IngressClassView};
use proa_operator_ingress::{
    index::{Index, views::IngressView},
    render::{render, routes::Routes},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

/// A path of one ingress: host, type, path. The service is named after its place in the list.
type Rule = (String, &'static str, String);

fn routes(rules: &[Rule]) -> Routes {
    let mut index = Index::default();
    let class = json!({"metadata": {"name": "proa"}, "spec": {"controller": "proa.dev/ingress"}});
    let class: IngressClassView = serde_json::from_str(&class.to_string()).unwrap();
    index.class(&Change { old: None, new: Some(Arc::new(class)) }, &mut Dirty::All);
    for (number, (host, kind, path)) in rules.iter().enumerate() {
        let backend = json!({"service": {"name": format!("s{number}"), "port": {"number": 80}}});
        let paths = json!([{"path": path, "pathType": kind, "backend": backend}]);
        let ingress: Value = json!({
            // Names in order of age.
            "metadata": {"name": format!("i{number:03}"), "namespace": "d"},
            "spec": {"ingressClassName": "proa", "rules": [{"host": host, "http": {"paths": paths}}]},
        });
        let ingress: IngressView = serde_json::from_str(&ingress.to_string()).unwrap();
        index.ingress(&Change { old: None, new: Some(Arc::new(ingress)) }, &mut Dirty::All);
    }
    let mut routes = Routes::default();
    render(&index, &Dirty::All).hosts.into_iter().for_each(|(host, vhost)| routes.set(&host, vhost));
    routes
}

fn elements(path: &str) -> Vec<&str> {
    path.split('/').filter(|element| !element.is_empty()).collect()
}

/// The documentation, word by word.
fn expected(rules: &[Rule], host: &str, path: &str) -> Option<usize> {
    let wildcard = host.split_once('.').map(|(_, domain)| format!("*.{domain}"));
    let names = [Some(host.to_owned()), wildcard, Some(String::new())];
    let chosen = names.into_iter().flatten().find(|name| rules.iter().any(|(own, ..)| own == name))?;
    let mut best: Option<(usize, usize)> = None;
    for (number, (own, kind, wanted)) in rules.iter().enumerate() {
        if *own != chosen {
            continue;
        }
        let length = match *kind {
            "Exact" if wanted == path => usize::MAX,
            "Exact" => continue,
            _ if elements(path).starts_with(&elements(wanted)) => elements(wanted).len(),
            _ => continue,
        };
        if best.is_none_or(|(longest, _)| length > longest) {
            best = Some((length, number));
        }
    }
    best.map(|(_, number)| number)
}

fn host() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a.x", "b.x", "*.x", "a.b.x", "*.b.x", "x"]).prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    let element = prop::sample::select(vec!["a", "b", "ab", "aa"]);
    (prop::collection::vec(element, 0..4), any::<bool>()).prop_map(|(elements, slash)| {
        let path = format!("/{}", elements.join("/"));
        if slash && path.len() > 1 { path + "/" } else { path }
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    (host(), prop::sample::select(vec!["Exact", "Prefix", "ImplementationSpecific"]), path())
}

proptest! {
    #[test]
    fn requests_go_where_the_documentation_says(
        rules in prop::collection::vec(rule(), 0..12),
        asked in prop::collection::vec((host(), path()), 1..20),
    ) {
        let routes = routes(&rules);
        for (host, path) in asked {
            let host = host.replace('*', "w");
            let found = routes.find(&host, &path).map(|found| found.route.to_string());
            let wanted = expected(&rules, &host, &path).map(|number| format!("d/s{number}:80"));
            prop_assert_eq!(found, wanted, "{}{} by {:?}", host, path, rules);
        }
    }
}
