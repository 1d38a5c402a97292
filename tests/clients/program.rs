//! Where the clients' programs are, and how one is run.

use crate::kubectl::Kubectl;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

/// Patience with one scenario on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// What `tests/tools/clients.sh` exits with when there is nothing to make the client with.
const MISSING: i32 = 3;

/// What a family of clients is made and run with.
#[derive(Clone, Copy)]
pub(crate) enum Toolchain {
    Go,
    Python,
    Node,
}

impl Toolchain {
    /// The folder of this toolchain's clients, which are made first if they are not up to date. None, with a line on
    /// standard error, if the toolchain is missing and this is not CI.
    #[track_caller]
    pub(crate) fn folder(self) -> Option<PathBuf> {
        static MADE: [OnceLock<Result<PathBuf, Failure>>; 3] = [const { OnceLock::new() }; 3];
        match MADE[self as usize].get_or_init(|| self.make()) {
            Ok(folder) => Some(folder.clone()),
            Err(Failure { is_missing: true, text }) if !is_ci() => {
                eprintln!("not run, missing is {text}");
                None
            }
            Err(Failure { is_missing, text }) => {
                let missing = if *is_missing { format!(", missing is {text}") } else { String::new() };
                panic!("the clients in {} cannot be made{missing}", self.name());
            }
        }
    }
    fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Python => "python",
            Self::Node => "node",
        }
    }
    fn make(self) -> Result<PathBuf, Failure> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let script = root.join("tests/tools/clients.sh");
        // What a compiler or an installer says goes where the output of `make` goes.
        let made = Command::new(&script).arg(self.name()).stderr(Stdio::inherit()).output().unwrap();
        if made.status.success() {
            return Ok(root.canonicalize().unwrap().join("target/clients").join(self.name()));
        }
        let text = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        Err(Failure { is_missing: made.status.code() == Some(MISSING), text })
    }
}

struct Failure {
    is_missing: bool,
    text: String,
}

fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// A client's program that reaches the cluster of this kubectl.
pub(crate) fn program(kubectl: Kubectl, path: &Path) -> Kubectl {
    kubectl.running(path).within(PATIENCE)
}

/// A source file of the clients.
pub(crate) fn source(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients").join(path);
    path.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
