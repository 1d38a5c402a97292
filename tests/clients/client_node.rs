//! The JavaScript client: the scenarios of `tests/clients/node/scenarios.mjs`.

use crate::{
    kubectl::Kubectl,
    node::{Node, SHELL},
    program::{Toolchain, program},
    server::Server,
};
use std::path::Path;

/// Runs one scenario; the program fails for a name that none has.
#[track_caller]
fn run(folder: &Path, kubectl: Kubectl, scenario: &str) {
    // The scenarios are a link beside the packages that they import.
    let file = folder.join("scenarios.mjs");
    program(kubectl, &folder.join("bin/node"))
        .with("IMAGE", SHELL)
        .run(&format!("--preserve-symlinks-main {} {scenario}", file.display()))
        .ok()
        .shows(&[&format!("ok {scenario}")]);
}

#[track_caller]
fn passes(scenario: &str) {
    if let Some(folder) = Toolchain::Node.folder() {
        run(&folder, Server::with_node().kubectl(), scenario);
    }
}

#[test]
fn objects_come_and_go() {
    passes("objects");
}

#[test]
fn patches() {
    passes("patches");
}

#[test]
fn server_side_apply() {
    passes("apply");
}

#[test]
fn objects_of_a_defined_kind() {
    passes("defined");
}

#[test]
fn watches() {
    passes("watch");
}

#[test]
fn informers() {
    passes("informer");
}

#[test]
fn exec_and_logs() {
    if let Some(folder) = Toolchain::Node.folder() {
        run(&folder, Node::start().kubectl(), "streams");
    }
}
