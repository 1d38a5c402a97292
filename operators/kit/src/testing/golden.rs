//! The golden runner.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The object.
    pub object: Value,
    /// What was observed.
    #[serde(default)]
    pub observed: Value,
    /// The time; 2026-01-01 when absent.
    #[serde(default = "new_year")]
    pub now: Timestamp,
    /// The expected plan.
    #[serde(default)]
    pub expect: Value,
}

fn new_year() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Case {
    /// The object as a view. Panics with the reason when it does not fit.
    pub fn object<V: DeserializeOwned>(&self) -> V {
        decode(&self.object, "object")
    }
    /// A part of what was observed; the default when absent.
    pub fn observed<V: DeserializeOwned + Default>(&self, part: &str) -> V {
        self.observed.get(part).map_or_else(V::default, |value| decode(value, part))
    }
}

#[expect(clippy::panic, reason = "a broken case is a failed test")]
fn decode<V: DeserializeOwned>(value: &Value, what: &str) -> V {
    // Views borrow from text, so the value goes through its JSON.
    serde_json::from_str(&value.to_string()).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Runs every `*.yaml` of a folder of the calling crate: `golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| ..)`.
#[expect(clippy::panic, reason = "a failed case is a failed test")]
pub fn run<P: Serialize>(manifest_dir: &str, folder: &str, plan: impl Fn(&Case) -> P) {
    let cases = files(&Path::new(manifest_dir).join(folder));
    assert!(!cases.is_empty(), "no cases in {folder}");
    let failures: Vec<String> = cases.iter().filter_map(|path| check(path, &plan)).collect();
    if !failures.is_empty() {
        panic!("{} golden cases differ:\n{}", failures.len(), failures.join("\n"));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn check<P: Serialize>(path: &Path, plan: &impl Fn(&Case) -> P) -> Option<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Some(format!("{name}: {error}")),
    };
    let case: Case = match serde_saphyr::from_str(&text) {
        Ok(case) => case,
        Err(error) => return Some(format!("{name}: {error}")),
    };
    let actual = serde_json::to_value(plan(&case)).unwrap_or(Value::Null);
    if actual == case.expect {
        return None;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return update(path, &text, &actual).err().map(|error| format!("{name}: {error}"));
    }
    Some(format!("{name}:\n--- expected\n{}\n--- actual\n{}", yaml(&case.expect), yaml(&actual)))
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| error.to_string())
}

fn update(path: &Path, text: &str, actual: &Value) -> std::io::Result<()> {
    let head = text.find("\nexpect:").map_or(text.len(), |at| at + 1);
    let indented: String = yaml(actual).lines().map(|line| format!("  {line}\n")).collect();
    std::fs::write(path, format!("{}expect:\n{indented}", &text[..head]))
}
