//! What the components share: how they start and end, and a client of redis.

pub mod redis;

use std::{env, fs, io, thread};

/// Says what started, and ends the process when it is told to: the first process of a container gets no default
/// handling of signals.
///
/// # Errors
/// Signals cannot be handled.
pub fn start(component: &str) -> io::Result<()> {
    println!("{component} {} starts on {}", version(), host());
    let mut signals =
        signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])?;
    let component = component.to_owned();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            println!("{component} ends");
            std::process::exit(0);
        }
    });
    Ok(())
}

/// Version of the image.
pub fn version() -> String {
    env::var("VERSION").unwrap_or_else(|_| "v0.1".to_owned())
}

/// Name of the machine, in a cluster that of the pod.
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Where a component listens: port 80, or that of `PORT`.
pub fn listen() -> String {
    format!("0.0.0.0:{}", env::var("PORT").unwrap_or_else(|_| "80".to_owned()))
}

/// Address of another component: its name and port, or what a variable such as `RNG` says.
pub fn peer(name: &str, port: u16) -> String {
    env::var(name.to_uppercase()).unwrap_or_else(|_| format!("{name}:{port}"))
}
