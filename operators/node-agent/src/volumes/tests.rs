//! Real directories and mounts, content from the real server. What is mounted is unmounted even when a test fails.

use super::*;
use crate::{
    build::{containers, tests::config},
    sources::tests::{NODE, TEST_PATIENCE, World},
};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

struct Node {
    world: World,
    volumes: Volumes,
    directory: tempfile::TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        teardown::unmount_and_remove(self.directory.path()).unwrap();
    }
}

impl Node {
    async fn start() -> Self {
        let world = World::start().await;
        let directory = tempfile::tempdir().unwrap();
        let volumes = Self::volumes(&world, directory.path());
        Self { world, volumes, directory }
    }
    fn volumes(world: &World, directory: &Path) -> Volumes {
        let (root, pod_logs) = (directory.join("root"), directory.join("logs"));
        fs::create_dir_all(&root).unwrap();
        let config = Arc::new(AgentConfig { root, pod_logs, ..config() });
        let facts = NodeFacts { memory: 64 << 20, ..NodeFacts::default() };
        Volumes::new(config, world.sources.clone(), facts)
    }
    /// As after a crash of the agent.
    fn restarted(&self) -> Volumes {
        Self::volumes(&self.world, self.directory.path())
    }
    /// A pod whose one container mounts everything.
    async fn pod(&self, name: &str, volumes: Value, more: Value) -> Arc<Pod> {
        let names = volumes.as_array().unwrap().iter().map(|volume| volume["name"].as_str().unwrap());
        let mounts: Vec<_> =
            names.map(|name| json!({"name": name, "mountPath": format!("/{name}")})).collect();
        let mut spec = json!({"volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.world.pod(name, spec).await
    }
    async fn prepared(
        &self,
        pod: &Arc<Pod>,
        mounted: &Mounted,
        attempt: u32,
    ) -> Result<ContainerFiles, Refused> {
        let env = [("NAME".to_owned(), "inner".to_owned())];
        let container = containers::find(pod, "c").unwrap();
        self.volumes.prepare(pod, &container, attempt, &env, &[[10, 0, 0, 9].into()], mounted).await
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn met(mounted: &Mounted) -> &BTreeMap<String, PathBuf> {
    assert_eq!(mounted.unmet, []);
    &mounted.paths
}

#[tokio::test]
async fn empty_directories() {
    let node = Node::start().await;
    let volumes = json!([
        {"name": "disk", "emptyDir": {}},
        {"name": "ram", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]);
    let pod = node.pod("p", volumes, json!({})).await;
    let mounted = node.volumes.mount(&pod, &[]).await;
    let (disk, ram) = (&met(&mounted)["disk"], &mounted.paths["ram"]);
    assert!(disk.ends_with(format!("pods/{}/volumes/kubernetes.io~empty-dir/disk", uid(&pod))), "{disk:?}");
    assert_eq!((mode(disk), mode(ram)), (0o777, 0o1777));
    assert!(mount_table::is_mounted(ram).unwrap() && !mount_table::is_mounted(disk).unwrap());
    let space = rustix::fs::statvfs(ram).unwrap();
    assert_eq!(space.f_blocks * space.f_frsize, 1 << 20);
    // What containers did stays, also when the agent starts anew.
    fs::write(disk.join("f"), "x").unwrap();
    fs::write(ram.join("f"), "y").unwrap();
    layout::set_mode(disk, 0o700).unwrap();
    let again = node.restarted().mount(&pod, &[]).await;
    assert_eq!(met(&again), met(&mounted));
    assert_eq!((read(&disk.join("f")), read(&ram.join("f")), mode(disk)), ("x".into(), "y".into(), 0o700));
    assert_eq!(node.restarted().known().unwrap(), BTreeSet::from([uid(&pod).to_owned()]));
    node.restarted().unmount(uid(&pod)).await.unwrap();
    assert!(!disk.exists() && node.volumes.known().unwrap().is_empty());
    node.volumes.unmount(uid(&pod)).await.unwrap();
}

#[tokio::test]
async fn directories_of_a_group() {
    let node = Node::start().await;
    node.world.create::<ConfigMap>(json!({"metadata": {"name": "m"}, "data": {"k": "v"}})).await;
    let volumes = json!([
        {"name": "disk", "emptyDir": {}},
        {"name": "ram", "emptyDir": {"medium": "Memory"}},
        {"name": "map", "configMap": {"name": "m", "defaultMode": 0o400}},
    ]);
    let pod = node.pod("p", volumes, json!({"securityContext": {"fsGroup": 4321}})).await;
    let mounted = node.volumes.mount(&pod, &[]).await;
    let of = |path: &Path| (fs::metadata(path).unwrap().gid(), mode(path));
    let paths = met(&mounted);
    assert_eq!(of(&paths["disk"]), (4321, 0o2777));
    assert_eq!(of(&paths["ram"]), (4321, 0o3777));
    assert_eq!(of(&paths["map"]), (4321, 0o2777));
    assert_eq!(of(&paths["map"].join("k")), (4321, 0o440));
}

#[tokio::test]
async fn a_busy_volume_is_detached() {
    let node = Node::start().await;
    let pod = node.pod("p", json!([{"name": "ram", "emptyDir": {"medium": "Memory"}}]), json!({})).await;
    let mounted = node.volumes.mount(&pod, &[]).await;
    let ram = &met(&mounted)["ram"];
    let open = fs::File::create(ram.join("f")).unwrap();
    node.volumes.unmount(uid(&pod)).await.unwrap();
    assert!(!ram.exists());
    drop(open);
}

#[tokio::test]
async fn what_is_mounted_below_a_volume_is_never_deleted() {
    let node = Node::start().await;
    let pod = node.pod("p", json!([{"name": "disk", "emptyDir": {}}]), json!({})).await;
    let mounted = node.volumes.mount(&pod, &[]).await;
    let foreign = node.directory.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("precious"), "x").unwrap();
    let below = met(&mounted)["disk"].join("below");
    fs::create_dir(&below).unwrap();
    rustix::mount::mount_bind(&foreign, &below).unwrap();
    rustix::mount::mount_bind(&foreign, &below).unwrap();
    node.volumes.unmount(uid(&pod)).await.unwrap();
    assert_eq!(read(&foreign.join("precious")), "x");
}

#[tokio::test]
async fn content_of_all_kinds() {
    let node = Node::start().await;
    node.world.create::<ConfigMap>(json!({"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}})).await;
    node.world.create::<Secret>(json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}})).await;
    let volumes = json!([
        {"name": "map", "configMap": {"name": "m", "items": [{"key": "a", "path": "x/a", "mode": 0o600}]}},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "none", "secret": {"secretName": "none", "optional": true}},
        {"name": "info", "downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory"}}]}},
        {"name": "all", "projected": {"defaultMode": 0o440, "sources": [
            {"configMap": {"name": "m"}},
            {"secret": {"name": "s", "items": [{"key": "k", "path": "deep/k"}]}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 7200}}]}},
        {"name": "unused", "configMap": {"name": "missing"}},
    ]);
    let mut pod = (*node.pod("p", volumes, json!({"securityContext": {"runAsUser": 77}})).await).clone();
    let mounts = pod.spec.as_mut().unwrap().containers[0].volume_mounts.as_mut().unwrap();
    mounts.retain(|mount| mount.name != "unused");
    let pod = Arc::new(pod);
    let mounted = node.volumes.mount(&pod, &[]).await;
    let paths = met(&mounted);
    let file = |volume: &str, name: &str| read(&paths[volume].join(name));
    assert_eq!((file("map", "x/a"), mode(&paths["map"].join("x/a"))), ("1".to_owned(), 0o600));
    assert!(!paths["map"].join("b").exists());
    assert_eq!((file("secret", "k"), mode(&paths["secret"].join("k"))), ("v".to_owned(), 0o644));
    assert!(mount_table::is_mounted(&paths["secret"]).unwrap());
    assert!(mount_table::is_mounted(&paths["all"]).unwrap());
    assert!(!mount_table::is_mounted(&paths["map"]).unwrap());
    assert!(
        fs::read_dir(&paths["none"]).unwrap().all(|e| e
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .starts_with(".."))
    );
    assert_eq!(
        (file("info", "labels"), file("info", "memory")),
        ("app=\"x\"".to_owned(), (64 << 20).to_string())
    );
    assert_eq!(
        (file("all", "a"), file("all", "deep/k"), file("all", "name")),
        ("1".into(), "v".into(), "p".into())
    );
    assert_eq!(mode(&paths["all"].join("a")), 0o440);
    let token = paths["all"].join("token");
    assert_eq!((mode(&token), fs::metadata(&token).unwrap().uid()), (0o600, 77));
    assert_eq!(read(&token).split('.').count(), 3);
    assert!(!paths.contains_key("unused"));
    let before = fs::read_link(paths["all"].join("..data")).unwrap();
    met(&node.volumes.mount(&pod, &[]).await);
    assert_eq!(fs::read_link(paths["all"].join("..data")).unwrap(), before);
}

#[tokio::test]
async fn every_pod_can_reach_the_api() {
    let node = Node::start().await;
    let map = json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "PEM"}});
    node.world.create::<ConfigMap>(map).await;
    let spec = json!({"automountServiceAccountToken": true, "containers": [{"name": "c"}]});
    let pod = node.world.pod("p", spec).await;
    let mounted = node.volumes.mount(&pod, &[]).await;
    let path = met(&mounted).values().next().unwrap();
    assert_eq!((read(&path.join("ca.crt")), read(&path.join("namespace"))), ("PEM".into(), "default".into()));
    assert_eq!(read(&path.join("token")).split('.').count(), 3);
    let files = node.prepared(&pod, &mounted, 0).await.unwrap();
    assert_eq!(&files.mounts[0], path);
}

#[tokio::test]
async fn what_is_missing_is_told_and_the_rest_is_made() {
    let node = Node::start().await;
    let path = node.directory.path().join("nowhere").display().to_string();
    let volumes = json!([
        {"name": "map", "configMap": {"name": "m"}},
        {"name": "both", "projected": {"sources": [{"secret": {"name": "a"}}, {"configMap": {"name": "b"}}]}},
        {"name": "host", "hostPath": {"path": path, "type": "Directory"}},
        {"name": "disk", "emptyDir": {}},
    ]);
    let pod = node.pod("p", volumes, json!({})).await;
    let mounted = node.volumes.mount(&pod, &[]).await;
    assert_eq!(mounted.paths.keys().collect::<Vec<_>>(), ["disk"]);
    let told: Vec<_> = mounted.unmet.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "MountVolume.SetUp failed for volume \"map\" : configmap \"m\" not found".to_owned(),
            "MountVolume.SetUp failed for volume \"both\" : [secret \"a\" not found, configmap \"b\" not found]".to_owned(),
            format!("MountVolume.SetUp failed for volume \"host\" : hostPath {path} doesn't exist"),
        ]
    );
    assert!(mounted.unmet.iter().all(|error| error.reason == "FailedMount"));
}

#[tokio::test]
async fn content_follows_its_source() {
    let node = Node::start().await;
    let pod = node.pod("p", json!([{"name": "map", "configMap": {"name": "m"}}]), json!({})).await;
    let (heard, mut hearing) = tokio::sync::mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (volumes, shutdown) = (node.volumes.clone(), shutdown.clone());
        async move {
            volumes.run(shutdown, |_, errors| heard.send(errors.len()).unwrap()).await;
        }
    });
    assert_eq!(node.volumes.mount(&pod, &[]).await.unmet.len(), 1);
    let file = node.volumes.0.layout.volume(uid(&pod), "kubernetes.io~configmap", "map").join("k");
    let mut until = async |want: Option<&str>, failures: usize| {
        while fs::read_to_string(&file).ok().as_deref() != want
            || tokio::time::timeout(TEST_PATIENCE, hearing.recv()).await.unwrap() != Some(failures)
        {
            tokio::task::yield_now().await;
        }
    };
    node.world.create::<ConfigMap>(json!({"metadata": {"name": "m"}, "data": {"k": "1"}})).await;
    until(Some("1"), 0).await;
    node.world.patch::<ConfigMap>("m", json!({"data": {"k": "2"}})).await;
    until(Some("2"), 0).await;
    // Without its source the content stays, and it is told.
    node.world.delete::<ConfigMap>("m").await;
    until(Some("2"), 1).await;
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn files_of_a_container() {
    let node = Node::start().await;
    let spec = json!({
        "subdomain": "s", "hostname": "h", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["x"]}],
        "volumes": [{"name": "disk", "emptyDir": {}}],
        "containers": [{"name": "c", "volumeMounts": [
            {"name": "disk", "mountPath": "/a"},
            {"name": "disk", "mountPath": "/b", "subPath": "made/here"},
            {"name": "disk", "mountPath": "/c", "subPathExpr": "$(NAME)/x"}]}],
    });
    let pod = node.world.pod("p", spec).await;
    let mounted = node.volumes.mount(&pod, &[]).await;
    let disk = &met(&mounted)["disk"];
    let files = node.prepared(&pod, &mounted, 3).await.unwrap();
    assert_eq!(&files.mounts[0], disk);
    fs::write(files.mounts[1].join("f"), "1").unwrap();
    fs::write(files.mounts[2].join("f"), "2").unwrap();
    assert_eq!((read(&disk.join("made/here/f")), read(&disk.join("inner/x/f"))), ("1".into(), "2".into()));
    assert_eq!(mode(&disk.join("made")), 0o777);
    assert!(read(files.hosts.as_ref().unwrap()).contains("10.0.0.9\th.s.default.svc.cluster.local\th\n"));
    let last_words = files.termination_log.clone().unwrap();
    assert!(last_words.ends_with(format!("pods/{}/containers/c/3", uid(&pod))), "{last_words:?}");
    assert_eq!(mode(&last_words), 0o666);
    assert!(build_log_directory(&node, &pod).join("c").is_dir());
    // The next attempt gets the same mounts.
    assert_eq!(node.prepared(&pod, &mounted, 3).await.unwrap(), files);
    node.volumes.unmount(uid(&pod)).await.unwrap();
    assert!(node.volumes.known().unwrap().is_empty());
}

fn build_log_directory(node: &Node, pod: &Pod) -> PathBuf {
    crate::build::log_directory(pod, &node.volumes.0.config)
}

#[tokio::test]
async fn a_part_of_a_map_does_not_follow_it() {
    let node = Node::start().await;
    node.world.create::<ConfigMap>(json!({"metadata": {"name": "m"}, "data": {"k": "1"}})).await;
    let spec = json!({"volumes": [{"name": "map", "configMap": {"name": "m"}}], "containers": [
        {"name": "c", "volumeMounts": [{"name": "map", "mountPath": "/k", "subPath": "k"}]}]});
    let pod = node.world.pod("p", spec).await;
    let mounted = node.volumes.mount(&pod, &[]).await;
    let part = node.prepared(&pod, &mounted, 0).await.unwrap().mounts[0].clone();
    assert_eq!(read(&part), "1");
    node.world.patch::<ConfigMap>("m", json!({"data": {"k": "2"}})).await;
    let file = met(&mounted)["map"].join("k");
    while read(&file) != "2" {
        tokio::time::timeout(TEST_PATIENCE, node.world.sources.changed()).await.unwrap();
        met(&node.volumes.mount(&pod, &[]).await);
    }
    assert_eq!(read(&part), "1");
    // A restarted container sees what there is then.
    assert_eq!(read(&node.prepared(&pod, &mounted, 1).await.unwrap().mounts[0]), "2");
}

#[tokio::test]
async fn no_part_leads_out_of_its_volume() {
    let node = Node::start().await;
    for (index, sub_path) in ["link", "link/new"].into_iter().enumerate() {
        let spec = json!({"volumes": [{"name": "disk", "emptyDir": {}}], "containers": [
            {"name": "c", "volumeMounts": [{"name": "disk", "mountPath": "/a", "subPath": sub_path}]}]});
        let pod = node.world.pod(&format!("p{index}"), spec).await;
        let mounted = node.volumes.mount(&pod, &[]).await;
        symlink(node.directory.path(), met(&mounted)["disk"].join("link")).unwrap();
        let refused = node.prepared(&pod, &mounted, 0).await.unwrap_err();
        let want = "failed to prepare subPath for volumeMount \"disk\" of container \"c\"";
        assert_eq!(refused.message, want);
        assert!(!node.directory.path().join("new").exists());
    }
}

#[tokio::test]
async fn parts_that_cannot_be_named_are_refused() {
    let node = Node::start().await;
    let pod = node.pod("p", json!([{"name": "disk", "emptyDir": {}}]), json!({})).await;
    let mounted = node.volumes.mount(&pod, &[]).await;
    for (field, path, want) in [
        ("subPath", "/abs", "error SubPath `/abs` must not be an absolute path"),
        ("subPath", "a/../b", "unable to provision SubPath `a/../b`: must not contain '..'"),
        ("subPathExpr", "$(NONE)", "missing value for \"NONE\""),
    ] {
        let mut pod = serde_json::to_value(&*pod).unwrap();
        pod["spec"]["containers"][0]["volumeMounts"][0][field] = json!(path);
        let pod = Arc::new(serde_json::from_value(pod).unwrap());
        assert_eq!(node.prepared(&pod, &mounted, 0).await.unwrap_err().message, want);
    }
    let unknown = node.prepared(&pod, &Mounted::default(), 0).await.unwrap_err();
    assert_eq!(unknown.message, "cannot find volume \"disk\" to mount into container \"c\"");
}

#[tokio::test]
async fn claims_stand_for_directories_of_the_node() {
    let node = Node::start().await;
    let world = &node.world;
    let data = node.directory.path().join("data");
    fs::create_dir(&data).unwrap();
    let admin = world.cluster.admin();
    let made = kube::api::PostParams::default();
    let own = serde_json::from_value(json!({"metadata": {"name": NODE, "labels": {"host": "a"}}})).unwrap();
    kube::Api::<k8s_openapi::api::core::v1::Node>::all(admin.clone()).create(&made, &own).await.unwrap();
    let claim: PersistentVolumeClaim = world
        .create(json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "volumeName": "disk", "resources": {"requests": {"storage": "1Gi"}}}}))
        .await;
    let disk = serde_json::from_value(json!({"metadata": {"name": "disk"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "local": {"path": data},
        "claimRef": {"namespace": "default", "name": "data", "uid": claim.metadata.uid},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "host", "operator": "In", "values": ["a"]}]}]}}}}))
    .unwrap();
    kube::Api::<k8s_openapi::api::core::v1::PersistentVolume>::all(admin.clone())
        .create(&made, &disk)
        .await
        .unwrap();
    let volumes = json!([
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "none", "persistentVolumeClaim": {"claimName": "none"}},
    ]);
    let pod = node.pod("p", volumes, json!({"securityContext": {"fsGroup": 4321}})).await;
    let told = |mounted: &Mounted| mounted.unmet.iter().map(ToString::to_string).collect::<Vec<_>>();
    let waits = |volume: &str, why: &str| {
        format!(
            "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], failed to process \
             volumes=[{volume}]: error processing PVC default/{volume}: {why}"
        )
    };
    let missing =
        waits("none", "failed to fetch PVC from API server: persistentvolumeclaims \"none\" not found");
    let mounted = node.volumes.mount(&pod, &[]).await;
    assert_eq!(told(&mounted), [waits("data", "PVC is not bound"), missing.clone()]);
    let claims = kube::Api::<PersistentVolumeClaim>::namespaced(admin, "default");
    let bound = kube::api::Patch::Merge(json!({"status": {"phase": "Bound"}}));
    claims.patch_status("data", &kube::api::PatchParams::default(), &bound).await.unwrap();
    let mounted = node.volumes.mount(&pod, &[]).await;
    assert_eq!((told(&mounted), &mounted.paths["data"]), (vec![missing], &data));
    assert_eq!(fs::metadata(&data).unwrap().gid(), 4321);
    fs::write(data.join("f"), "kept").unwrap();
    node.volumes.unmount(uid(&pod)).await.unwrap();
    assert_eq!(read(&data.join("f")), "kept");
}
