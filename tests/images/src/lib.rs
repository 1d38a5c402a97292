//! Container images for tests, and a registry that serves them on loopback or on a bridge.
//!
//! `tests/tools/images.sh` makes the images once and keeps them as the storage of a registry; a [`Registry`] serves that
//! storage, read only, so that any number of tests can have one each at no cost. Deliberately absent: pushing.

use std::{
    fs, io,
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

/// The images there are, as `repository:tag`. On Docker's hub `library/redis:7` is what a pod calls `redis:7`.
pub const IMAGES: [&str; 9] = [
    "dockercoins/rng:v0.1",
    "dockercoins/rng:v0.2",
    "dockercoins/hasher:v0.1",
    "dockercoins/worker:v0.1",
    "dockercoins/worker:v0.2",
    "dockercoins/webui:v0.1",
    "library/redis:7",
    "library/busybox:1",
    "proa/shell:1",
];

/// Makes the images, unless they are there; the folder that a registry serves.
///
/// # Errors
/// The script fails; its output tells why.
pub fn folder() -> io::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/images.sh");
    let made = Command::new("bash").arg(&script).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&made.stdout);
    match text.lines().last().filter(|_| made.status.success()) {
        Some(folder) => Ok(folder.into()),
        None => Err(io::Error::other(format!("{} failed: {}", script.display(), made.status))),
    }
}

/// A registry that serves the images by plain HTTP; it ends when dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Serves the images at a free port of an address of this network namespace.
    ///
    /// # Errors
    /// The images cannot be made, or `docker-registry` does not start.
    pub fn start(ip: IpAddr) -> io::Result<Self> {
        Self::spawn(ip, |config| {
            let mut command = Command::new("docker-registry");
            command.arg("serve").arg(config);
            command
        })
    }
    /// Serves the images at a free port of an address of another network namespace, such as that of a bridge.
    ///
    /// # Errors
    /// The images cannot be made, or `docker-registry` does not start.
    pub fn start_in(namespace: &str, ip: IpAddr) -> io::Result<Self> {
        Self::spawn(ip, |config| {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace, "docker-registry", "serve"]).arg(config);
            command
        })
    }
    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    fn spawn(ip: IpAddr, command: impl FnOnce(&Path) -> Command) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("registry.yml");
        fs::write(&config, configuration(&self::folder()?, ip))?;
        let mut process = command(&config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = process.stderr.take().ok_or_else(|| io::Error::other("no log of docker-registry"))?;
        let mut log = BufReader::new(stderr);
        match address(&mut log) {
            Ok(address) => {
                // Nobody needs the rest of the log, but a full pipe would stop the registry. Ends with the process.
                thread::spawn(move || io::copy(&mut log, &mut io::sink()));
                Ok(Self { address, process, _folder: folder })
            }
            Err(error) => {
                end(&mut process);
                Err(error)
            }
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut Child) {
    // It may have ended by itself.
    drop(process.kill());
    drop(process.wait());
}

/// The log names the address, so it may not be quieter.
fn configuration(images: &Path, ip: IpAddr) -> String {
    let address = SocketAddr::new(ip, 0);
    format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {:?}}}\n  \
         maintenance: {{readonly: {{enabled: true}}}}\nhttp: {{addr: {:?}}}\n",
        images.display().to_string(),
        address.to_string()
    )
}

/// The address that the log names.
fn address(log: &mut impl BufRead) -> io::Result<SocketAddr> {
    let mut said = String::new();
    loop {
        let before = said.len();
        if log.read_line(&mut said)? == 0 {
            return Err(io::Error::other(format!("docker-registry did not start:\n{said}")));
        }
        let line = &said[before..];
        let after = line.split_once("listening on ").map(|(_, after)| after);
        let address = after.and_then(|after| after.split(['"', ' ', '\n']).next()?.parse().ok());
        if let Some(address) = address {
            return Ok(address);
        }
    }
}
