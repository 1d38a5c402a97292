//! One suite for all runtimes, on the fake and on a containerd of its own; and what only a real one can show: crashes,
//! clean-up, mounts, images from files and registries. Needs root, containerd, an OCI runtime and the CNI plugins.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

mod crashes;
mod images;
mod node;
mod oci;
mod registry;
mod suite;

use node::Node;
use proa_runtime_shim::{Runtime as _, fake::Fake};
use suite::Setup;

#[tokio::test]
async fn the_fake_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    fake.pull_image(node::IMAGE, None).await.unwrap();
    suite::run(fake, &Setup { logs: dir.path().into(), cgroup_parent: suite::IN_MEMORY.into() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_conforms() {
    let node = Node::start().await;
    node.load_program().await;
    let setup = Setup { logs: node.dir().join("logs"), cgroup_parent: node.config.cgroup_parent.clone() };
    suite::run(node.runtime().await, &setup).await;
    suite::real::run(node.runtime().await, &setup).await;
    node.stop().await;
}
