//! Images from files and registries.

use crate::{
    node::{IMAGE, Node, program_archive},
    oci::Layout,
    registry::Registry,
    suite::{self, Setup, exited},
};
use flate2::{Compression, write::GzEncoder};
use proa_runtime_shim::{
    Error, Runtime as _,
    hosts::{self, DEFAULT},
    load::{LoadError, load_image},
    pause,
};
use serde_json::json;
use std::{fs, io::Write as _, path::Path};

#[tokio::test(flavor = "multi_thread")]
async fn images_come_from_files() {
    let node = Node::start().await;
    let runtime = node.runtime().await;
    let socket = node.config.socket();
    let file = |name: &str, content: Vec<u8>| {
        let path = node.dir().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let short = file("short.tar", program_archive("program:2"));
    assert_eq!(load_image(&socket, &short).await.unwrap(), ["docker.io/library/program:2"]);
    assert!(runtime.image("program:2").await.unwrap().is_some(), "it is known as soon as it is loaded");
    assert_eq!(load_image(&socket, &short).await.unwrap(), ["docker.io/library/program:2"], "and again");
    let layout = Layout::of_program("oci");
    for key in ["io.containerd.image.name", "org.opencontainers.image.ref.name"] {
        let named = file("oci.tar", layout.tar(&json!({ key: "test.example/oci:1" })));
        assert_eq!(load_image(&socket, &named).await.unwrap(), ["test.example/oci:1"]);
        assert_eq!(runtime.image("test.example/oci:1").await.unwrap().unwrap().uid, Some(1000));
        runtime.remove_image("test.example/oci:1").await.unwrap();
    }
    let tagged = file("My App.tar", layout.tar(&json!({ "org.opencontainers.image.ref.name": "7" })));
    for _ in 0..2 {
        assert_eq!(load_image(&socket, &tagged).await.unwrap(), ["docker.io/library/my-app:7"]);
    }
    assert_eq!(runtime.image("my-app:7").await.unwrap().unwrap().tags, ["docker.io/library/my-app:7"]);
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(&program_archive("test.example/compressed:1")).unwrap();
    let compressed = file("compressed.tar.gz", compressed.finish().unwrap());
    assert_eq!(load_image(&socket, &compressed).await.unwrap(), ["test.example/compressed:1"]);
    let nameless = load_image(&socket, &file("nameless.tar", layout.tar(&json!({})))).await;
    assert!(matches!(nameless, Err(LoadError::NoName { .. })), "{nameless:?}");
    let junk = load_image(&socket, &file("junk.tar", b"no image".to_vec())).await;
    assert!(matches!(junk, Err(LoadError::NotAnImage { .. })), "{junk:?}");
    let mut broken = program_archive(IMAGE);
    broken.truncate(broken.len() / 2);
    let broken = load_image(&socket, &file("broken.tar", broken)).await;
    assert!(matches!(broken, Err(LoadError::NotAnImage { .. })), "{broken:?}");
    let missing = load_image(&socket, Path::new("/no/such.tar")).await;
    assert!(matches!(missing, Err(LoadError::Read { .. })), "{missing:?}");
    let folder = load_image(&socket, node.dir()).await;
    assert!(matches!(folder, Err(LoadError::Read { .. })), "{folder:?}");
    let pause = runtime.image(&pause::IMAGE.name).await.unwrap().unwrap();
    assert!(pause.pinned, "the image of sandboxes is not collected");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_come_from_registries() {
    let layout = Layout::of_program("registry");
    let digest = layout.manifest.clone();
    let registry = Registry::start("team/app", layout).await;
    let node = Node::start().await;
    let mirror =
        hosts::Registry { host: DEFAULT.into(), mirrors: vec![registry.url.clone()], fall_back: false };
    hosts::write(&node.config.registries, &mirror).unwrap();
    let runtime = node.runtime().await;
    let id = runtime.pull_image("registry.example/team/app:1", None).await.unwrap();
    let image = runtime.image("registry.example/team/app:1").await.unwrap().unwrap();
    assert_eq!(image.id, id);
    assert_eq!(image.digests, [format!("registry.example/team/app@{digest}")]);
    let by_digest = format!("registry.example/team/app@{digest}");
    assert_eq!(runtime.pull_image(&by_digest, None).await.unwrap(), id);
    assert_eq!(runtime.pull_image("team/app:1", None).await.unwrap(), id, "of Docker Hub");
    let missing = runtime.pull_image("registry.example/team/other:1", None).await;
    assert!(matches!(missing, Err(Error::Pull { .. })), "{missing:?}");
    let setup = Setup { logs: node.dir().join("logs"), cgroup_parent: node.config.cgroup_parent.clone() };
    let of = suite::pod(&setup);
    let at = suite::start_image(&runtime, of, &id, &["exit", "5"]).await;
    let status = exited(&runtime, &at.container).await;
    assert_eq!(status.exit_code, 5);
    // By one of the names that it was pulled by.
    assert!(status.image_reference.ends_with(&format!("/team/app@{digest}")), "{}", status.image_reference);
    suite::remove(&runtime, &at).await;
    runtime.remove_image(&id).await.unwrap();
    assert_eq!(runtime.image(&by_digest).await.unwrap(), None);
    node.stop().await;
}
