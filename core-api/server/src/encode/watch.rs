//! Watch frames: one JSON document per event and line, or one message of protobuf behind its length.
//!
//! An event's frame is made once and shared by all watchers that see the same change in the same version (W2); a batch
//! of several events is sent as one piece. Upstream: apiserver `pkg/endpoints/handlers/watch.go`.

use super::{Encoder, table, text};
use crate::negotiate::Shape;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use proa_meta::ApiError;
use proa_registry::{
    Entry,
    request::{ChangeType, WatchEvent, WatchStream},
    state::Encoding,
};
use proa_store::Revision;

/// Bytes after which a piece is sent although more events are at hand.
const PIECE: usize = 64 << 10;

pub(super) fn frames(
    encoder: Encoder,
    events: WatchStream,
    now: impl Fn() -> Option<Timestamp> + Send + 'static,
    sent: impl Fn(usize) + Send + 'static,
) -> BoxStream<'static, Result<Bytes, ApiError>> {
    let version = fingerprint(&encoder.kind.def.gvk.api_version());
    let mut frames = Frames { encoder, version, columns_sent: false, json: Vec::new() };
    let pieces = events.map(move |batch| {
        sent(batch.len());
        frames.encoder.now = now().unwrap_or(frames.encoder.now);
        futures::stream::iter(frames.batch(&batch).into_iter().map(Ok))
    });
    pieces.flatten().boxed()
}

/// Tells served versions apart in an event's cache.
fn fingerprint(api_version: &str) -> usize {
    usize::try_from(proa_meta::fnv::hash(api_version.as_bytes()) & u64::from(u32::MAX)).unwrap_or(0)
}

struct Frames {
    encoder: Encoder,
    version: usize,
    /// A table's columns go with its first event only.
    columns_sent: bool,
    /// Room for the JSON of what is sent as protobuf.
    json: Vec<u8>,
}

impl Frames {
    fn batch(&mut self, batch: &[WatchEvent]) -> Vec<Bytes> {
        let single = batch.len() == 1;
        let (mut pieces, mut out) = (Vec::new(), Vec::new());
        for event in batch {
            match self.shared(event) {
                Some(frame) if single => return vec![frame],
                Some(frame) => out.extend_from_slice(&frame),
                None => self.frame(event, &mut out),
            }
            if out.len() >= PIECE {
                pieces.push(Bytes::from(std::mem::take(&mut out)));
            }
        }
        if !out.is_empty() {
            pieces.push(Bytes::from(out));
        }
        pieces
    }

    /// The frame that all watchers share.
    fn shared(&self, event: &WatchEvent) -> Option<Bytes> {
        let WatchEvent::Object { change, revision, entry, event: Some(event) } = event else { return None };
        let encoding = if self.encoder.binary.is_some() { Encoding::Protobuf } else { Encoding::Json };
        (self.encoder.form.shape == Shape::Whole).then(|| {
            event.encoded(encoding, *change, self.version, || {
                let mut out = Vec::with_capacity(entry.tail().len() + 192);
                self.object(*change, entry, *revision, &mut Vec::new(), &mut out);
                Bytes::from(out)
            })
        })
    }

    fn frame(&mut self, event: &WatchEvent, out: &mut Vec<u8>) {
        match event {
            WatchEvent::Object { change, revision, entry, .. } => match self.encoder.form.shape {
                Shape::Table => self.table(*change, entry, *revision, out),
                _ => {
                    let mut json = std::mem::take(&mut self.json);
                    self.object(*change, entry, *revision, &mut json, out);
                    self.json = json;
                }
            },
            WatchEvent::Bookmark { revision, initial_end } => self.bookmark(*revision, *initial_end, out),
            WatchEvent::Error(error) => match &self.encoder.binary {
                Some(binary) => binary.error_frame(error, out),
                None => line("ERROR", out, |out| out.extend_from_slice(&text::json_of(&error.to_status()))),
            },
        }
    }

    /// `json` is room for the object's JSON.
    fn object(
        &self,
        change: ChangeType,
        entry: &Entry,
        revision: Revision,
        json: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        self.write(name(change), json, out, |out| match self.encoder.form.shape {
            Shape::Partial | Shape::PartialList => self.encoder.partial(entry, revision, out),
            _ => entry.write_json_at(&self.encoder.kind.def, revision, out),
        });
    }

    /// An event with the object whose JSON `object` appends.
    fn write(&self, event: &str, json: &mut Vec<u8>, out: &mut Vec<u8>, object: impl FnOnce(&mut Vec<u8>)) {
        match &self.encoder.binary {
            None => line(event, out, object),
            Some(binary) => {
                json.clear();
                object(json);
                binary.frame(event, json, out);
            }
        }
    }

    /// Tables have no protobuf form.
    fn table(&mut self, change: ChangeType, entry: &Entry, revision: Revision, out: &mut Vec<u8>) {
        let first = !std::mem::replace(&mut self.columns_sent, true);
        let columns = first.then(|| table::columns(&self.encoder.kind.def));
        line(name(change), out, |out| {
            table::open(&self.encoder, revision, columns.as_ref(), out);
            table::write_row(&self.encoder, entry, revision, out);
            out.extend_from_slice(b"]}");
        });
    }

    fn bookmark(&self, revision: Revision, initial_end: bool, out: &mut Vec<u8>) {
        let def = &self.encoder.kind.def;
        let shape = self.encoder.form.shape;
        let (kind, version) = match shape {
            Shape::Whole => (&*def.gvk.kind, def.gvk.api_version()),
            _ => ("PartialObjectMetadata", self.encoder.form.meta_version().to_owned()),
        };
        self.write("BOOKMARK", &mut Vec::new(), out, |out| {
            if shape == Shape::Table {
                table::open(&self.encoder, revision, None, out);
                out.extend_from_slice(b"{\"cells\":[],\"object\":");
            }
            proa_registry::entry::write_head(out, kind, &version, revision);
            out.extend_from_slice(b",\"creationTimestamp\":null");
            if initial_end {
                out.extend_from_slice(b",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
            }
            out.extend_from_slice(if shape == Shape::Table { b"}}}]}".as_slice() } else { b"}}" });
        });
    }
}

fn line(event: &str, out: &mut Vec<u8>, object: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    object(out);
    out.extend_from_slice(b"}\n");
}

fn name(change: ChangeType) -> &'static str {
    match change {
        ChangeType::Added => "ADDED",
        ChangeType::Modified => "MODIFIED",
        ChangeType::Deleted => "DELETED",
    }
}
