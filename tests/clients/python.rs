//! The Python client: the scenarios of `tests/clients/python/scenarios.py`.

use crate::{
    kubectl::Kubectl,
    node::{Node, SHELL},
    program::{Toolchain, program, source},
    server::Server,
};
use std::path::Path;

/// Runs one test; unittest fails for a name that no test has.
#[track_caller]
fn run(folder: &Path, kubectl: Kubectl, test: &str) {
    program(kubectl, &folder.join("bin/python"))
        .with("PYTHONPATH", source("python").to_str().unwrap())
        .with("PYTHONDONTWRITEBYTECODE", "1")
        .with("IMAGE", SHELL)
        .run(&format!("-m unittest -v scenarios.{test}"))
        .ok();
}

#[track_caller]
fn passes(test: &str) {
    if let Some(folder) = Toolchain::Python.folder() {
        run(&folder, Server::with_node().kubectl(), test);
    }
}

#[test]
fn objects_come_and_go() {
    passes("Objects.test_objects_come_and_go");
}

#[test]
fn patches() {
    passes("Objects.test_patches");
}

#[test]
fn files_of_objects() {
    passes("Objects.test_files_of_objects");
}

#[test]
fn watches() {
    passes("Watches.test_watch");
}

#[test]
fn informers() {
    passes("Watches.test_informer");
}

#[test]
fn asyncio() {
    passes("Watches.test_asyncio");
}

#[test]
fn dynamic_client() {
    passes("Dynamic.test_defined_kind");
}

#[test]
fn exec_and_logs() {
    if let Some(folder) = Toolchain::Python.folder() {
        run(&folder, Node::start().kubectl(), "Streams.test_exec_and_logs");
    }
}
