use super::{
    options::{LogOptions, LogStream},
    *,
};
use crate::server::testing::StubRuntime;
use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

/// So long that only a failure takes it.
const LONG: Duration = Duration::from_secs(30);

struct Log {
    directory: tempfile::TempDir,
    path: PathBuf,
    lines: usize,
}

impl Log {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        fs::write(&path, "").unwrap();
        Self { directory, path, lines: 0 }
    }

    fn append(&mut self, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
        let second = self.lines % 60;
        self.lines += 1;
        writeln!(file, "2024-01-01T00:00:{second:02}.5Z stdout F {text}").unwrap();
    }
}

async fn all(mut reader: LogReader) -> String {
    let mut text = Vec::new();
    while let Some(piece) = timeout(LONG, reader.next()).await.expect("the log ends").unwrap() {
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

async fn read(log: &Log, options: LogOptions) -> String {
    all(LogReader::open(&log.path, options, future::pending()).await.unwrap()).await
}

#[tokio::test]
async fn a_log_is_read_as_its_options_say() {
    let mut log = Log::new();
    ["one", "two", "three"].iter().for_each(|line| log.append(line));
    assert_eq!(read(&log, LogOptions::default()).await, "one\ntwo\nthree\n");
    let last = LogOptions { tail_lines: Some(2), ..LogOptions::default() };
    assert_eq!(read(&log, last).await, "two\nthree\n");
    let none = LogOptions { tail_lines: Some(0), ..LogOptions::default() };
    assert_eq!(read(&log, none).await, "");
    let cut = LogOptions { limit_bytes: Some(6), ..LogOptions::default() };
    assert_eq!(read(&log, cut).await, "one\ntw");
    let errors = LogOptions { stream: LogStream::Stderr, ..LogOptions::default() };
    assert_eq!(read(&log, errors).await, "");
}

#[tokio::test]
async fn a_long_log_comes_whole_in_pieces() {
    let mut log = Log::new();
    let line = "x".repeat(10_000);
    (0..300).for_each(|_| log.append(&line));
    let mut reader = LogReader::open(&log.path, LogOptions::default(), future::pending()).await.unwrap();
    let mut total = 0;
    while let Some(piece) = reader.next().await.unwrap() {
        assert!(piece.len() < 100_000, "{}", piece.len());
        total += piece.len();
    }
    assert_eq!(total, 300 * 10_001);
}

/// What is left until the reader has given `text`.
async fn expect(reader: &mut LogReader, text: &str) {
    let mut got = String::new();
    while got.len() < text.len() {
        let piece = timeout(LONG, reader.next()).await.expect("more of the log").unwrap().expect("no end");
        got.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert_eq!(got, text);
}

#[tokio::test]
async fn a_log_is_followed_across_rotation_until_its_container_ends() {
    let mut log = Log::new();
    log.append("one");
    let (end, ended) = oneshot::channel::<()>();
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let ended = async { ended.await.unwrap_or_default() };
    let mut reader = LogReader::open(&log.path, options, ended).await.unwrap();
    expect(&mut reader, "one\n").await;
    log.append("two");
    expect(&mut reader, "two\n").await;
    fs::rename(&log.path, log.directory.path().join("0.log.1")).unwrap();
    log.append("three");
    expect(&mut reader, "three\n").await;
    log.append("four");
    end.send(()).unwrap();
    assert_eq!(all(reader).await, "four\n");
}

#[tokio::test]
async fn following_ends_when_the_log_goes_with_its_pod() {
    let mut log = Log::new();
    log.append("one");
    let options = LogOptions { follow: true, tail_lines: Some(0), ..LogOptions::default() };
    let reader = LogReader::open(&log.path, options, future::pending()).await.unwrap();
    fs::remove_dir_all(log.directory.path()).unwrap();
    assert_eq!(all(reader).await, "");
}

#[tokio::test]
async fn last_words_are_the_last_lines_and_bytes() {
    let mut log = Log::new();
    (0..100).for_each(|n| log.append(&n.to_string()));
    let expected: String = (20..100).map(|n| format!("{n}\n")).collect();
    assert_eq!(last_words(&log.path).await.unwrap(), expected);
    log.append(&"x".repeat(3000));
    assert_eq!(last_words(&log.path).await.unwrap(), format!("{}\n", "x".repeat(2047)));
    assert!(last_words(Path::new("/nowhere/0.log")).await.is_err());
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn a_log_that_grows_is_rotated_and_older_ones_are_compressed() {
    let mut log = Log::new();
    log.append("first");
    // From an earlier rotation.
    fs::write(log.directory.path().join("0.log.20200101-000000"), "older").unwrap();
    let runtime = StubRuntime::new(&log.path, String::new());
    let (limits, shutdown) =
        (Limits { size: 1000, files: 5, interval: Duration::from_millis(20) }, CancellationToken::new());
    let task = tokio::spawn(keep_rotated(runtime.clone(), limits, shutdown.clone()));
    let mut reopened = runtime.reopened.subscribe();
    log.append(&"x".repeat(2000));
    timeout(LONG, reopened.wait_for(|n| *n == 1)).await.expect("the log is rotated").unwrap();
    let names: Vec<_> = fs::read_dir(log.directory.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(unpacked(&log.directory.path().join("0.log.20200101-000000.gz")), "older");
    shutdown.cancel();
    task.await.unwrap();
}
