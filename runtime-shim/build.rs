//! Compiles the pause program that every pod's image-less first process is.
//!
//! It needs the compiler that builds this crate and its linker, nothing else; see `pause/pause.rs`.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = "pause/pause.rs";
/// Static, without a C library and its start code; one page of it is enough.
const OPTIONS: [&str; 10] = [
    "panic=abort",
    "opt-level=s",
    "strip=symbols",
    "relocation-model=static",
    "target-feature=+crt-static",
    "link-arg=-nostartfiles",
    "link-arg=-nostdlib",
    "link-arg=-static",
    "link-arg=-Wl,--build-id=none",
    "link-arg=-Wl,-n",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let output = PathBuf::from(variable("OUT_DIR")?).join("pause");
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc.args(["--edition", "2024", "--crate-name", "pause", "--target", &variable("TARGET")?]);
    for option in OPTIONS {
        rustc.args(["-C", option]);
    }
    if let Ok(linker) = variable("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    compile(rustc.arg("-o").arg(&output).arg(SOURCE), &output)
}

fn compile(rustc: &mut Command, output: &Path) -> Result<(), Box<dyn Error>> {
    let done = rustc.output()?;
    if done.status.success() && output.is_file() {
        return Ok(());
    }
    Err(format!("{rustc:?} made no {}:\n{}", output.display(), String::from_utf8_lossy(&done.stderr)).into())
}
