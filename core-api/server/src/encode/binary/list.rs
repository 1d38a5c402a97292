//! Lists in protobuf.
//!
//! A message says its length first. A small list is written at once; of a large one only the objects' lengths are
//! found out before it is sent, so that it costs as little memory as in JSON.
//! Upstream: apimachinery `pkg/runtime/serializer/protobuf/collections.go`.

use super::{Binary, meta};
use crate::{
    api::{Body, Response},
    encode::{
        Encoder,
        list::{PIECE, WHOLE_LIST},
        write_list_metadata,
    },
    negotiate::Shape,
    respond,
};
use bytes::Bytes;
use http::StatusCode;
use proa_meta::{ApiError, ApiResult};
use proa_registry::{Entry, request::List};
use proa_schema::protobuf::{
    ListField, begin_envelope, begin_list_field, encode_json, end_envelope, list_field_length,
    write_envelope, write_list_field,
};
use std::sync::Arc;
use tokio::runtime::Handle;

/// The answer with a page of a list.
pub(in crate::encode) async fn answer(
    encoder: &Encoder,
    binary: &Arc<Binary>,
    list: List,
    runtime: &Handle,
) -> ApiResult<Response> {
    let bytes: usize = list.items.iter().map(|e| e.tail().len()).sum();
    let writer = Writer::new(encoder.clone(), Arc::clone(binary), &list)?;
    let body = if bytes <= WHOLE_LIST {
        Body::Whole(writer.whole(&list.items)?)
    } else {
        // As long as it takes to write the list: not on a thread that others' requests share.
        let measured = runtime.spawn_blocking(move || writer.pieces(list.items));
        let pieces = measured.await.map_err(ApiError::internal)??;
        Body::Stream(Box::pin(futures::stream::iter(pieces)))
    };
    Ok(respond::with_value(StatusCode::OK, respond::PROTOBUF, body))
}

/// Writes the parts of one list.
struct Writer {
    encoder: Encoder,
    binary: Arc<Binary>,
    kind: String,
    /// Message of the list's metadata.
    metadata: Vec<u8>,
    json: Vec<u8>,
}

impl Writer {
    fn new(encoder: Encoder, binary: Arc<Binary>, list: &List) -> ApiResult<Self> {
        let (mut json, mut metadata) = (Vec::new(), Vec::new());
        write_list_metadata(list, &mut json);
        let schema = meta(&*binary.docs, "ListMeta")?;
        encode_json(&schema, &json, &mut metadata).map_err(ApiError::internal)?;
        let kind = match encoder.form.shape {
            Shape::PartialList => "PartialObjectMetadataList".to_owned(),
            _ => encoder.kind.def.list_kind.to_string(),
        };
        Ok(Self { encoder, binary, kind, metadata, json })
    }

    fn item(&mut self, entry: &Entry, out: &mut Vec<u8>) -> ApiResult<()> {
        if self.encoder.form.shape == Shape::PartialList {
            self.json.clear();
            self.encoder.partial(entry, entry.revision, &mut self.json);
            return self.binary.message(&self.json, out);
        }
        let def = &self.encoder.kind.def;
        entry.write_message(def, &mut self.json, out).map_err(ApiError::internal)
    }

    fn whole(mut self, items: &[Arc<Entry>]) -> ApiResult<Bytes> {
        let mut out = Vec::new();
        let (api_version, kind) = (self.binary.api_version.clone(), std::mem::take(&mut self.kind));
        write_envelope(&api_version, &kind, &mut out, |out| {
            write_list_field(ListField::Metadata, out, |out| out.extend_from_slice(&self.metadata));
            items
                .iter()
                .try_for_each(|entry| write_list_field(ListField::Items, out, |out| self.item(entry, out)))
        })?;
        Ok(Bytes::from(out))
    }

    /// The same in pieces.
    fn pieces(mut self, items: Vec<Arc<Entry>>) -> ApiResult<Pieces> {
        let lengths = self.lengths(&items)?;
        Ok(Pieces { writer: self, items, lengths, next: 0, done: false })
    }

    fn lengths(&mut self, items: &[Arc<Entry>]) -> ApiResult<Vec<u32>> {
        let mut room = Vec::new();
        let is_whole = self.encoder.form.shape == Shape::Whole;
        let length = |entry: &Arc<Entry>| {
            if is_whole {
                let def = &self.encoder.kind.def;
                let length = entry.message_length(def, &mut self.json, &mut room);
                return length.map_err(ApiError::internal);
            }
            room.clear();
            self.item(entry, &mut room)?;
            u32::try_from(room.len()).map_err(ApiError::internal)
        };
        items.iter().map(length).collect()
    }
}

struct Pieces {
    writer: Writer,
    items: Vec<Arc<Entry>>,
    lengths: Vec<u32>,
    next: usize,
    done: bool,
}

impl Pieces {
    fn open(&self, out: &mut Vec<u8>) {
        let Writer { binary, kind, metadata, .. } = &self.writer;
        let items: usize = self.lengths.iter().map(|&length| list_field_length(length as usize)).sum();
        begin_envelope(&binary.api_version, kind, list_field_length(metadata.len()) + items, out);
        begin_list_field(ListField::Metadata, metadata.len(), out);
        out.extend_from_slice(metadata);
    }

    fn piece(&mut self) -> ApiResult<Bytes> {
        let mut out = Vec::with_capacity(PIECE + (4 << 10));
        if self.next == 0 {
            self.open(&mut out);
        }
        while self.next < self.items.len() && out.len() < PIECE {
            let length = self.lengths[self.next] as usize;
            begin_list_field(ListField::Items, length, &mut out);
            let start = out.len();
            self.writer.item(&self.items[self.next], &mut out)?;
            if out.len() - start != length {
                return Err(ApiError::internal("an object has another length than it said"));
            }
            self.next += 1;
        }
        if self.next == self.items.len() {
            self.done = true;
            end_envelope(&mut out);
        }
        Ok(Bytes::from(out))
    }
}

impl Iterator for Pieces {
    type Item = ApiResult<Bytes>;

    fn next(&mut self) -> Option<ApiResult<Bytes>> {
        if self.done {
            return None;
        }
        let piece = self.piece();
        self.done |= piece.is_err();
        Some(piece)
    }
}
