use super::*;
use crate::provider::Method;
use proa_store::{Expect, Local, Log, LogOptions, Op, Options, Published, Store, Write};
use std::collections::BTreeMap;

const SECRET: &str = "//secrets/d/a";
const PLAIN: &[u8] = b"a very plain text";

/// What a store shows.
#[derive(Default)]
struct Shown(Mutex<BTreeMap<Key, (Revision, Bytes)>>);

impl Published for Shown {
    fn head(&self, key: &str) -> Option<Revision> {
        self.0.lock().get(key).map(|(revision, _)| *revision)
    }
    fn load(&self, loaded: Loaded) {
        let base = loaded.base.into_iter().map(|o| (o.key, (o.revision, o.bytes)));
        *self.0.lock() = base.collect();
        self.publish(loaded.revision, &loaded.changes);
    }
    fn publish(&self, _: Revision, changes: &[Change]) {
        let mut shown = self.0.lock();
        for change in changes {
            match &change.value {
                Some(value) => shown.insert(change.key.clone(), (change.revision, value.bytes.clone())),
                None => shown.remove(&change.key),
            };
        }
    }
}

fn secret(name: &str, byte: u8) -> String {
    let secret = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, [byte; 32]);
    format!("{{keys: [{{name: {name}, secret: {secret}}}]}}")
}

/// Secrets with these providers, in order.
fn secrets(providers: &[&str]) -> Encryption {
    parse(&format!("[{{resources: [secrets], providers: [{}]}}]", providers.join(", "))).expect("valid")
}

fn parse(resources: &str) -> Result<Encryption, ConfigError> {
    Encryption::parse(&format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: {resources}"
    ))
}

type Opened = (Arc<Local<Encrypted<Log>>>, Arc<Shown>);

fn open(dir: &Path, encryption: Encryption) -> Result<Opened, OpenError> {
    let shown = Arc::new(Shown::default());
    let log = Log::open(dir, LogOptions { background: false, ..LogOptions::default() })?;
    let store = Local::open(Encrypted::new(log, encryption), shown.clone(), Options::default())?;
    Ok((store, shown))
}

async fn put(store: &dyn Store, key: &str) -> Revision {
    let write = Write::one(Op::put(key, Expect::Any, Value::new(PLAIN)));
    store.commit(write).await.expect("written")
}

/// Whether any file has this text.
fn has(dir: &Path, text: &[u8]) -> bool {
    let files = std::fs::read_dir(dir).expect("a directory").map(|file| file.expect("a file").path());
    files
        .map(|file| std::fs::read(file).expect("readable"))
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text))
}

#[tokio::test]
async fn keys_are_rotated_by_writing_again_and_old_ones_can_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let (one, two) = (format!("aescbc: {}", secret("one", 1)), format!("secretbox: {}", secret("two", 2)));
    let (one, two) = (format!("{{{one}}}"), format!("{{{two}}}"));
    let (store, _) = open(dir.path(), Encryption::default()).expect("opens");
    put(&*store, SECRET).await;
    put(&*store, "//configmaps/d/a").await;
    store.close().await;
    assert!(has(dir.path(), PLAIN));

    for (providers, gone) in
        [(&[&*one, "{identity: {}}"][..], PLAIN), (&[&*two, &*one][..], b"k8s:enc:aescbc:v1:one:")]
    {
        let (store, shown) = open(dir.path(), secrets(providers)).expect("opens");
        assert_eq!(shown.0.lock()[SECRET].1, PLAIN);
        assert!(store.is_stale(SECRET) && !store.is_stale("//configmaps/d/a"));
        put(&*store, SECRET).await;
        assert!(!store.is_stale(SECRET), "written with the first key");
        store.commit(Write::one(Op::delete("//configmaps/d/a", Expect::Any))).await.expect("written");
        let last = store.revision();
        store.close().await;
        // Reopened without the old key: what history has under it is forgotten, what lives is there.
        let (store, shown) = open(dir.path(), secrets(&providers[..1])).expect("opens");
        assert_eq!(shown.0.lock()[SECRET].1, PLAIN);
        assert!(!store.is_stale(SECRET));
        store.compact(last).await.expect("compacted");
        store.close().await;
        assert!(!has(dir.path(), gone));
        assert!(!has(dir.path(), PLAIN));
    }
    let why = open(dir.path(), Encryption::default()).err().expect("nobody can read it").to_string();
    assert_eq!(why, "//secrets/d/a cannot be read: it is encrypted, and no provider is configured for it");
    let why = open(dir.path(), secrets(&[&one])).err().expect("the key is not there").to_string();
    assert!(why.starts_with("//secrets/d/a cannot be read: no provider"), "{why}");
}

#[test]
fn keys_that_are_missing_are_told_with_how_much_they_had() {
    let mut unreadable = Unreadable::default();
    for kept in ["k8s:enc:aescbc:v1:one:a:b", "k8s:enc:aescbc:v1:one:", "k8s:enc:secretbox:v1:two:x", "plain"]
    {
        unreadable.add(kept.as_bytes());
    }
    let told = "2 of key k8s:enc:aescbc:v1:one, 1 of key k8s:enc:secretbox:v1:two, 1 of key none";
    assert_eq!(unreadable.to_string(), told);
}

#[test]
fn each_provider_reads_what_it_wrote_and_nothing_else() {
    for (method, lengths) in
        [Method::Aescbc, Method::Aesgcm, Method::Secretbox].map(|method| (method, method.key_lengths()))
    {
        for length in lengths {
            let provider = Provider::key(method, "k", vec![7; *length]);
            let other = Provider::key(method, "k", vec![8; *length]);
            for plain in [&b"x"[..], &[5; 16], PLAIN, &[9; 5000]].map(Bytes::copy_from_slice) {
                let kept = provider.seal(SECRET, &plain).expect("sealed");
                assert!(kept.starts_with(format!("k8s:enc:{}:v1:k:", method.name()).as_bytes()));
                assert_eq!(provider.open(SECRET, &kept).expect("opened"), plain);
                assert_ne!(other.open(SECRET, &kept).ok(), Some(plain), "another key");
                for end in 0..kept.len().min(60) {
                    drop(provider.open(SECRET, &kept.slice(..end)));
                }
            }
        }
    }
    let provider = Provider::key(Method::Aesgcm, "k", vec![7; 32]);
    let kept = provider.seal(SECRET, &PLAIN.into()).expect("sealed");
    assert!(provider.open("//secrets/d/b", &kept).is_err(), "values cannot change places");
}

#[test]
fn a_resource_counts_before_its_group_and_that_before_all() {
    let key = |name: &str| format!("[{{secretbox: {}}}]", secret(name, 1));
    let rules = format!(
        "[{{resources: [secrets], providers: {}}}, {{resources: ['*.', '*.apps'], providers: {}}}, {{resources: ['*.*'], providers: {}}}]",
        key("a"),
        key("b"),
        key("c")
    );
    let encryption = parse(&rules).expect("valid");
    for (stored, name) in [
        ("//secrets/d/a", "a"),
        ("//configmaps/d/a", "b"),
        ("/apps/deployments/d/a", "b"),
        ("/stable.example.com/crontabs/d/a", "c"),
    ] {
        let kept = encryption.seal(stored, &PLAIN.into()).expect("sealed");
        assert!(kept.starts_with(format!("k8s:enc:secretbox:v1:{name}:").as_bytes()), "{stored}");
    }
    assert_eq!(encryption.seal("/claims/clusterIP/10.0.0.1", &Bytes::new()).expect("kept"), Bytes::new());
}

#[test]
fn what_is_wrong_is_named() {
    let good = "{identity: {}}";
    for (resources, wanted) in [
        ("[]".to_owned(), "resources: Required value"),
        (format!("[{{resources: [], providers: [{good}]}}]"), "resources[0].resources: Required value"),
        ("[{resources: [secrets]}]".to_owned(), "resources[0].providers: Required value"),
        (
            format!("[{{resources: [Secrets], providers: [{good}]}}]"),
            "resources[0].resources[0]: Invalid value: \"Secrets\": resource name should not contain capital letters",
        ),
        (format!("[{{resources: ['*'], providers: [{good}]}}]"), "use '*.' to encrypt"),
        (format!("[{{resources: [secrets, '*.'], providers: [{good}]}}]"), "using overlapping resources"),
        (format!("[{{resources: [secrets, secrets], providers: [{good}]}}]"), "specified multiple times"),
        (
            format!(
                "[{{resources: ['*.'], providers: [{good}]}}, {{resources: [secrets], providers: [{good}]}}]"
            ),
            "resources[1].resources: Invalid value: \"secrets\": masked by earlier rule \"*.\"",
        ),
        ("[{resources: [secrets], providers: [{}]}]".to_owned(), "resources[0].providers[0]: Invalid value"),
        (
            "[{resources: [secrets], providers: [{kms: {name: a}}]}]".to_owned(),
            "resources[0].providers[0].kms: Forbidden: KMS providers are not supported",
        ),
        (
            "[{resources: [secrets], providers: [{aescbc: {keys: []}}]}]".to_owned(),
            "resources[0].providers[0].aescbc.keys: Required value",
        ),
        (
            "[{resources: [secrets], providers: [{aescbc: {keys: [{name: a, secret: '!'}]}}]}]".to_owned(),
            "aescbc.keys[0].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded",
        ),
        (
            "[{resources: [secrets], providers: [{secretbox: {keys: [{name: a, secret: YQ==}]}}]}]"
                .to_owned(),
            "got 1, expected one of [32]",
        ),
        ("[{resources: [secrets], providers: [{rot13: {}}]}]".to_owned(), "rot13"),
    ] {
        let why = parse(&resources).err().unwrap_or_else(|| panic!("{resources} is taken")).to_string();
        assert!(why.contains(wanted), "{resources}: {why}");
    }
    assert!(Encryption::parse("kind: Pod\napiVersion: v1").is_err());
}
