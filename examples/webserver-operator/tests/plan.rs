//! Plans as people read them: `tests/golden/*.yaml`. `UPDATE_GOLDEN=1 cargo test` writes what they are now.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use proa_kit::{
    Typed as _,
    children::{Child, Found, applied},
    testing::golden::{self, Case},
};
use serde_json::{Value, json};
use webserver_operator::{
    Settings, api::WebServerView, build, manifests::Manifest, observe::Observed, plan::plan,
};

fn settings() -> Settings {
    Settings { domain: "sites.example".to_owned(), image: "busybox:1".to_owned() }
}

/// Of the site's objects `present` are there as they were written when the page was `page`, `others` belong to somebody
/// else, `going` are being deleted; `deployment` is the status of the Deployment.
fn observed(case: &Case, site: &WebServerView) -> Observed {
    let kinds = |part: &str| case.observed::<Vec<String>>(part);
    let (present, others, going) = (kinds("present"), kinds("others"), kinds("going"));
    let (page, deployment) = (case.observed::<Option<String>>("page"), case.observed::<Value>("deployment"));
    let mut before = site.clone();
    before.spec.www = page.unwrap_or(before.spec.www);
    let host = site.host(&settings().domain);
    let find = |child: Child| {
        let kind = child.kind.kind.to_string();
        let mut object =
            if others.contains(&kind) { json!({"metadata": {}}) } else { applied(&site.reference(), &child) };
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(child.name);
        metadata["namespace"] = json!(site.metadata.namespace);
        metadata["uid"] = json!(kind.to_lowercase());
        metadata["generation"] = json!(1);
        if going.contains(&kind) {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        if kind == "Deployment" {
            object["status"] = deployment.clone();
        }
        let is_there = [&present, &others, &going].iter().any(|kinds| kinds.contains(&kind));
        is_there.then(|| Found {
            kind: child.kind,
            object: serde_json::from_value::<_>(object).map(std::sync::Arc::new).unwrap(),
        })
    };
    let found = build::children(&before, Some(&host), &settings()).into_iter().filter_map(find).collect();
    let rivals = case.observed::<Vec<WebServerView>>("rivals").into_iter().map(Into::into).collect();
    Observed { found, rivals }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        let site: WebServerView = case.object();
        plan(&site, &observed(case, &site), &settings(), case.now)
    });
}

/// The chart has what the code says. `UPDATE_GOLDEN=1` writes the files.
#[test]
fn manifests_of_the_chart_are_current() {
    let chart = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/webserver-operator");
    for (manifest, file) in [(Manifest::Crd, "crds/webservers.yaml"), (Manifest::Role, "templates/role.yaml")]
    {
        let (file, yaml) = (chart.join(file), manifest.yaml().unwrap());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &yaml).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&file).unwrap_or_default(),
            yaml,
            "{} is not current",
            file.display()
        );
    }
}
