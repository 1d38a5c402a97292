//! What the audit log says of requests.

use crate::support::{Cluster, send};
use proa_server::audit::{AuditLog, LogFile};
use serde_json::{Value, json};
use std::path::PathBuf;

const TOYS: &str = "/apis/toy.example/v1/namespaces/d/toys";
const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: []
omitManagedFields: true
rules:
- {level: None, users: [unseen]}
- {level: Metadata, verbs: [watch, list], omitStages: [RequestReceived]}
- {level: RequestResponse, resources: [{group: toy.example}], omitStages: [RequestReceived]}
- {level: Metadata, nonResourceURLs: ["/version", "/panic"]}
- {level: Metadata, users: [nobody]}
"#;

/// A log of one test.
struct Log {
    folder: PathBuf,
    audit: std::sync::Arc<AuditLog>,
}

impl Log {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("proa-{name}-{}", std::process::id()));
        let path = folder.join("audit.log");
        let file = LogFile { path, max_size: 0, max_backups: 0, max_age: 0, compress: false };
        Self { folder, audit: AuditLog::start(POLICY, file).unwrap() }
    }
    /// All events, of a server that is no more.
    async fn events(self) -> Vec<Value> {
        self.audit.end().await;
        let text = std::fs::read_to_string(self.folder.join("audit.log")).unwrap();
        std::fs::remove_dir_all(self.folder).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn of<'a>(events: &'a [Value], verb: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["verb"] == verb).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_recorded_as_the_policy_says() {
    let log = Log::new("recorded");
    let audit = log.audit.clone();
    let cluster = Cluster::over_tls_with(move |config| config.audit = Some(audit)).await;
    let toy = json!({"metadata": {"name": "a"}, "spec": {"text": "x"}});
    let headers = [("audit-id", "given"), ("user-agent", "tests/1"), ("x-forwarded-for", "192.0.2.7")];
    let made = cluster.send("POST", TOYS, &headers, toy.to_string()).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.headers["audit-id"], "given");
    let jane = [("impersonate-user", "jane"), ("content-type", "application/merge-patch+json")];
    cluster.send("PATCH", &format!("{TOYS}/a"), &jane, r#"{"spec":{"text":"y"}}"#).await;
    assert_eq!(cluster.get(&format!("{TOYS}/none")).await.status, 404);
    send(&cluster.client("nobody"), "DELETE", "/api/v1/namespaces/d", &[], "").await;
    send(&cluster.client("unseen"), "GET", &format!("{TOYS}/a"), &[], "").await;
    cluster.get("/panic").await;
    let bare = cluster.bare_client().unwrap();
    let bearer = [("authorization", "Bearer wrong")];
    assert_eq!(send(&bare, "GET", "/version", &bearer, "").await.status, 401);
    cluster.get(&format!("{TOYS}?watch=1&timeoutSeconds=1")).await;
    tokio::task::spawn_blocking(move || cluster.stop()).await.expect("stops");
    let events = log.events().await;

    let [create] = of(&events, "create")[..] else { panic!("one stage is recorded: {events:#?}") };
    for (field, want) in [
        ("level", json!("RequestResponse")),
        ("auditID", json!("given")),
        ("stage", json!("ResponseComplete")),
        ("requestURI", json!(TOYS)),
        ("sourceIPs", json!(["192.0.2.7", "127.0.0.1"])),
        ("userAgent", json!("tests/1")),
        ("requestObject", toy),
        ("responseStatus", json!({"metadata": {}, "code": 201})),
        ("annotations", json!({"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""})),
    ] {
        assert_eq!(create[field], want, "{field}");
    }
    assert_eq!(create["user"]["username"], "tester");
    let object = &create["objectRef"];
    assert_eq!(
        (&object["name"], &object["resource"]),
        (&json!("a"), &json!("toys")),
        "the name is the body's"
    );
    assert_eq!(create["responseObject"]["spec"], json!({"text": "x"}));
    assert_eq!(create["responseObject"]["metadata"].get("managedFields"), None);

    let [patch] = of(&events, "patch")[..] else { panic!("{events:#?}") };
    assert_eq!(patch["requestObject"], json!({"spec": {"text": "y"}}));
    assert_eq!(
        (&patch["user"]["username"], &patch["impersonatedUser"]["username"]),
        (&json!("tester"), &json!("jane"))
    );

    let [missing] =
        of(&events, "get").into_iter().filter(|e| e["objectRef"]["name"] == "none").collect::<Vec<_>>()[..]
    else {
        panic!("{events:#?}")
    };
    assert_eq!(missing["responseStatus"]["reason"], "NotFound");
    assert_eq!(missing["responseObject"]["kind"], "Status");

    let [received, refused] = of(&events, "delete")[..] else { panic!("{events:#?}") };
    assert_eq!((&received["stage"], received.get("responseStatus")), (&json!("RequestReceived"), None));
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!((&refused["responseStatus"]["code"], refused.get("responseObject")), (&json!(403), None));

    let panicked: Vec<_> = events.iter().filter(|event| event["requestURI"] == "/panic").collect();
    assert_eq!((panicked.len(), &panicked[1]["stage"]), (2, &json!("Panic")));
    let unknown: Vec<_> = events.iter().filter(|event| event["requestURI"] == "/version").collect();
    let [unknown] = unknown[..] else { panic!("{events:#?}") };
    assert_eq!(
        (&unknown["stage"], &unknown["responseStatus"]["code"]),
        (&json!("ResponseStarted"), &json!(401))
    );
    assert_eq!(unknown["responseStatus"]["message"], "Authentication failed, attempted: bearer");

    let stages: Vec<_> = of(&events, "watch").iter().map(|event| event["stage"].clone()).collect();
    assert_eq!(stages, ["ResponseStarted", "ResponseComplete"], "a watch is complete when it ends");
    assert!(events.iter().all(|event| event["user"]["username"] != "unseen"));
}
