//! What the fake's containers do, by their words; the program in the tests' real images understands the same ones.
//!
//! `exit CODE`: ends at once. `after MILLISECONDS CODE`: ends then. `say TEXT`: writes a line and ends with 0.
//! `out-of-memory`: is killed for lack of memory. `stubborn`: runs and does not end when asked to.
//! `no-start`: cannot be started. Anything else, or nothing: runs until it is asked to end, then ends with 0.

use crate::{ContainerConfig, Error, ExecOutput, Result};
use std::time::Duration;

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Ends by itself.
    Exit { after: Duration, code: i32 },
    /// Is killed for lack of memory.
    OutOfMemory,
    /// Runs until it is asked to end.
    Run,
    /// Runs until it is killed.
    Stubborn,
    /// Cannot be started.
    NoStart,
}

/// The program of a container.
pub(super) fn of(config: &ContainerConfig) -> Program {
    let words: Vec<&str> = words(config);
    let ends = |after, code: &str| code.parse().ok().map(|code| Program::Exit { after, code });
    let program = match words.as_slice() {
        ["exit", code] => ends(Duration::ZERO, code),
        ["after", milliseconds, code] => {
            milliseconds.parse().ok().and_then(|after| ends(Duration::from_millis(after), code))
        }
        ["say", _] => ends(Duration::ZERO, "0"),
        ["out-of-memory"] => Some(Program::OutOfMemory),
        ["stubborn"] => Some(Program::Stubborn),
        ["no-start"] => Some(Program::NoStart),
        _ => None,
    };
    program.unwrap_or(Program::Run)
}

/// The line that a container writes.
pub(super) fn line(config: &ContainerConfig) -> Option<String> {
    match words(config).as_slice() {
        ["say", text] => Some((*text).to_owned()),
        _ => None,
    }
}

/// Command and arguments, without the program's own path.
fn words(config: &ContainerConfig) -> Vec<&str> {
    let words = config.command.iter().chain(&config.args).map(String::as_str);
    words.skip_while(|word| word.starts_with('/')).collect()
}

/// What containerd says of an exit code.
pub(super) fn reason(code: i32) -> &'static str {
    if code == 0 { "Completed" } else { "Error" }
}

/// Runs a command in a container: `exit CODE`, `say TEXT`; anything else does not end.
pub(super) async fn exec(command: &[String], timeout: Duration) -> Result<ExecOutput> {
    let words: Vec<&str> = command.iter().map(String::as_str).skip_while(|w| w.starts_with('/')).collect();
    let done =
        |stdout: String, exit_code| Ok(ExecOutput { stdout: stdout.into(), stderr: vec![], exit_code });
    match words.as_slice() {
        ["exit", code] => done(String::new(), code.parse().unwrap_or(126)),
        ["say", text] => done(format!("{text}\n"), 0),
        _ => {
            tokio::time::sleep(timeout).await;
            Err(Error::Timeout { operation: "exec", within: timeout })
        }
    }
}
