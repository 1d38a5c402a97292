//! Runs kubectl and says what it should have done.

use crate::server::PATIENCE;
use regex::Regex;
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

/// kubectl with one kubeconfig, and a home of its own.
#[derive(Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    variables: Vec<(&'static str, String)>,
    patience: Duration,
}

/// What a command did.
pub(crate) struct Step {
    command: String,
    code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Kubectl {
    /// Reaches what the kubeconfig names; caches below `home`.
    pub(crate) fn new(kubeconfig: &Path, home: &Path) -> Self {
        Self {
            program: program(),
            kubeconfig: kubeconfig.to_owned(),
            home: home.to_owned(),
            variables: Vec::new(),
            patience: PATIENCE,
        }
    }
    /// Another program in the place of kubectl, with the same kubeconfig and home.
    pub(crate) fn running(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }
    /// With an environment variable.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }
    /// With this much time for each command.
    pub(crate) fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
    /// With another kubeconfig.
    pub(crate) fn reached_by(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = kubeconfig.to_owned();
        self
    }
    /// Runs a command line; single quotes hold words together.
    pub(crate) fn run(&self, line: &str) -> Step {
        self.pipe("", line)
    }
    /// Runs a command line that reads `input`.
    pub(crate) fn pipe(&self, input: &str, line: &str) -> Step {
        // A hanging kubectl has to fail its test, not the whole run.
        let mut command = self.command("timeout");
        command.arg(self.patience.as_secs().to_string()).arg(&self.program).args(words(line));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().unwrap();
        // A command that does not read its input closes it, which is no failure.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Step {
            command: self.said(line),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
    /// The same as a line for a shell.
    pub(crate) fn shell_line(&self, line: &str) -> String {
        let mut variables = format!("KUBECONFIG={} HOME={}", self.kubeconfig.display(), self.home.display());
        for (name, value) in &self.variables {
            variables.push_str(&format!(" {name}={value}"));
        }
        format!("{variables} {} {line}", self.program.display())
    }
    /// Starts a command that runs until the result is dropped.
    pub(crate) fn follow(&self, line: &str) -> Following {
        let mut child = self
            .command(self.program.to_str().unwrap())
            .args(words(line))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Following { child, command: self.said(line), lines, seen: Vec::new(), patience: self.patience }
    }
    /// Writes a file beside the cluster's data and returns its path.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.home.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
    /// A command line as people would type it.
    fn said(&self, line: &str) -> String {
        format!("{} {line}", self.program.file_name().unwrap_or_default().display())
    }
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_remove("KUBE_EDITOR")
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Step {
    /// Whether it exited with 0.
    pub(crate) fn is_ok(&self) -> bool {
        self.code == 0
    }
    /// It exited with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }
    /// It exited with this code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        let holds = self.code == code;
        self.check(holds, &format!("exits with {code}"))
    }
    /// Standard output is this, besides line ends around it.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        let holds = self.stdout.trim() == text.trim();
        self.check(holds, &format!("prints {text:?}"))
    }
    /// Standard output has each of these.
    #[track_caller]
    pub(crate) fn shows(self, parts: &[&str]) -> Self {
        let missing = parts.iter().find(|part| !self.stdout.contains(**part)).copied();
        self.check(missing.is_none(), &format!("shows {missing:?}"))
    }
    /// Standard output has none of these.
    #[track_caller]
    pub(crate) fn hides(self, parts: &[&str]) -> Self {
        let found = parts.iter().find(|part| self.stdout.contains(**part)).copied();
        self.check(found.is_none(), &format!("hides {found:?}"))
    }
    /// Standard output matches this expression, with `.` for any but a line's end.
    #[track_caller]
    pub(crate) fn matches(self, expression: &str) -> Self {
        let is_match = Regex::new(&format!("(?m){expression}")).unwrap().is_match(&self.stdout);
        self.check(is_match, &format!("matches {expression}"))
    }
    /// Standard error has each of these.
    #[track_caller]
    pub(crate) fn warns(self, parts: &[&str]) -> Self {
        let missing = parts.iter().find(|part| !self.stderr.contains(**part)).copied();
        self.check(missing.is_none(), &format!("warns {missing:?}"))
    }
    /// It failed, and standard error has each of these.
    #[track_caller]
    pub(crate) fn fails(self, parts: &[&str]) -> Self {
        self.code(1).warns(parts)
    }
    #[track_caller]
    fn check(self, holds: bool, expected: &str) -> Self {
        let Self { command, code, stdout, stderr } = &self;
        assert!(
            holds,
            "{command}\n  should be so that it {expected}\n-- exit code {code}, output:\n{stdout}\n-- errors:\n{stderr}"
        );
        self
    }
}

/// A command that goes on.
pub(crate) struct Following {
    child: Child,
    command: String,
    lines: Receiver<String>,
    seen: Vec<String>,
    patience: Duration,
}

impl Following {
    /// Waits for a line that has this part, and returns it.
    #[track_caller]
    pub(crate) fn until(&mut self, part: &str) -> String {
        let deadline = Instant::now() + self.patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{} never printed {part:?}, but {:#?}", self.command, self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }
}

impl Following {
    /// Every line of a command that ends by itself.
    #[track_caller]
    pub(crate) fn all(mut self) -> Vec<String> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.seen),
                Err(RecvTimeoutError::Timeout) => panic!("{} never ended", self.command),
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// kubectl 1.37 from `make tools`, else the one on the PATH.
fn program() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/kubectl");
    if ours.exists() { ours } else { PathBuf::from("kubectl") }
}

/// The words of a command line.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    for c in line.chars() {
        match c {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A manifest of the folder `examples`.
pub(crate) fn example(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path);
    path.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", path.display())).to_str().unwrap().to_owned()
}
