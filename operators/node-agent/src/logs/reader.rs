//! Reads one log, and waits for more of it.

use super::{
    LogOptions,
    line::{Flow, Formatter},
    tail,
    watch::DirectoryWatch,
};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, Stream, future::BoxFuture, future::Fuse, stream};
use std::{
    future::Future,
    io::{self, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

/// How much is read at once, and about how much is handed on at once.
const PIECE: usize = 64 << 10;
/// A line that is longer is handed on in parts. Runtimes cut lines far below it.
const LONGEST_LINE: usize = 1 << 20;

/// Reads a log as its options say.
pub(crate) struct LogReader {
    path: PathBuf,
    file: File,
    formatter: Formatter,
    /// Read but not formatted: less than a line, or lines that come next.
    input: BytesMut,
    /// How much of the input is known to hold no end of line.
    scanned: usize,
    follow: Option<Follow>,
    done: bool,
}

struct Follow {
    watch: DirectoryWatch,
    /// Resolves when nobody writes any more.
    ended: Fuse<BoxFuture<'static, ()>>,
    has_ended: bool,
}

impl LogReader {
    /// Opens a log. `ended` resolves when its writer has ended; only following needs it.
    ///
    /// # Errors
    /// The file cannot be opened or watched.
    pub(crate) async fn open(
        path: &Path,
        options: LogOptions,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let path = tokio::fs::canonicalize(path).await?;
        let follow = if options.follow {
            // Before the first read, so that nothing happens unseen in between.
            let watch = DirectoryWatch::new(path.parent().unwrap_or(Path::new("/")))?;
            Some(Follow { watch, ended: ended.boxed().fuse(), has_ended: false })
        } else {
            None
        };
        let mut file = File::open(&path).await?;
        if let Some(lines) = options.tail_lines {
            file = seek_to_last_lines(file, lines).await?;
        }
        let formatter = Formatter::new(&options);
        let done = options.tail_lines == Some(0) && !options.follow;
        Ok(Self { path, file, formatter, input: BytesMut::new(), scanned: 0, follow, done })
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut output = BytesMut::new();
        while !self.done {
            self.format_lines(&mut output);
            if output.len() >= PIECE || self.done {
                break;
            }
            self.input.reserve(PIECE);
            if self.file.read_buf(&mut self.input).await? > 0 {
                continue;
            }
            // All there is now. Hand it on before waiting.
            if !output.is_empty() {
                break;
            }
            if !self.has_more().await? {
                self.done = true;
                let rest = self.input.split();
                self.formatter.format(&rest, &mut output);
            }
        }
        Ok((!output.is_empty()).then(|| output.freeze()))
    }

    /// The pieces as a stream.
    pub(crate) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold(
            self,
            |mut reader| async move { Ok(reader.next().await?.map(|piece| (piece, reader))) },
        )
    }

    fn format_lines(&mut self, output: &mut BytesMut) {
        while output.len() < PIECE && !self.done {
            let end = match memchr::memchr(b'\n', &self.input[self.scanned..]) {
                Some(at) => self.scanned + at + 1,
                None if self.input.len() >= LONGEST_LINE => self.input.len(),
                None => {
                    self.scanned = self.input.len();
                    return;
                }
            };
            let line = self.input.split_to(end);
            self.scanned = 0;
            self.done = self.formatter.format(&line, output) == Flow::Enough;
        }
    }

    /// At the end of the file: waits until there is more to read. False when there will not be.
    async fn has_more(&mut self) -> io::Result<bool> {
        let Some(follow) = &mut self.follow else { return Ok(false) };
        match successor(&self.file, &self.path).await? {
            Successor::File(newer) => return self.read_on_in(newer).await,
            Successor::Never => return Ok(false),
            Successor::NotYet if follow.has_ended => return Ok(false),
            Successor::NotYet => {}
        }
        tokio::select! {
            // What was written before the end is read before the end is believed.
            () = &mut follow.ended => follow.has_ended = true,
            changed = follow.watch.changed() => follow.has_ended |= !changed?,
        }
        Ok(true)
    }

    /// Reads the last of a rotated file, then goes on in its successor.
    async fn read_on_in(&mut self, newer: File) -> io::Result<bool> {
        if self.file.read_buf(&mut self.input).await? == 0 {
            self.file = newer;
        }
        Ok(true)
    }
}

async fn seek_to_last_lines(file: File, lines: u64) -> io::Result<File> {
    let mut file = file.into_std().await;
    let found = tokio::task::spawn_blocking(move || {
        let start = tail::start_of_last_lines(&mut file, lines)?;
        Ok::<_, io::Error>((file, start))
    });
    let (file, start) = found.await.map_err(io::Error::other)??;
    let mut file = File::from_std(file);
    file.seek(SeekFrom::Start(start)).await?;
    Ok(file)
}

/// What comes after a file.
enum Successor {
    /// The file that is now in its place.
    File(File),
    /// Nothing so far: it is in its place, or was just renamed.
    NotYet,
    /// Nothing: it was deleted.
    Never,
}

async fn successor(file: &File, path: &Path) -> io::Result<Successor> {
    let present = file.metadata().await?;
    let there = match File::open(path).await {
        Err(e) if e.kind() == io::ErrorKind::NotFound && present.nlink() == 0 => return Ok(Successor::Never),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Successor::NotYet),
        there => there?,
    };
    let other = there.metadata().await?;
    let is_same = (other.dev(), other.ino()) == (present.dev(), present.ino());
    Ok(if is_same { Successor::NotYet } else { Successor::File(there) })
}
