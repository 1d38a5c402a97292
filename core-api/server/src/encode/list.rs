//! Lists, written piece by piece.

use super::{Encoder, table, write_list_metadata};
use crate::negotiate::Shape;
use bytes::Bytes;
use proa_registry::request::List;

/// Lists up to this many bytes are written at once, larger ones while they are sent.
pub(super) const WHOLE_LIST: usize = 1 << 20;
/// Bytes of a piece, nearly.
pub(super) const PIECE: usize = 64 << 10;

/// The pieces of a list's JSON.
pub(super) struct Pieces {
    encoder: Encoder,
    list: List,
    next: usize,
    done: bool,
}

impl Pieces {
    pub(super) fn new(encoder: Encoder, list: List) -> Self {
        Self { encoder, list, next: 0, done: false }
    }

    fn open(&self, out: &mut Vec<u8>) {
        let def = &self.encoder.kind.def;
        let (kind, version) = match self.encoder.form.shape {
            Shape::Table => ("Table", self.encoder.form.meta_version().to_owned()),
            Shape::PartialList => ("PartialObjectMetadataList", self.encoder.form.meta_version().to_owned()),
            _ => (&*def.list_kind, def.gvk.api_version()),
        };
        out.extend_from_slice(b"{\"kind\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"apiVersion\":\"");
        out.extend_from_slice(version.as_bytes());
        out.extend_from_slice(b"\",\"metadata\":");
        if def.custom && self.encoder.form.shape == Shape::Whole && self.list.continue_token.is_none() {
            // Lists of custom kinds always say where they go on.
            let revision = self.list.revision;
            out.extend_from_slice(
                format!("{{\"continue\":\"\",\"resourceVersion\":\"{revision}\"}}").as_bytes(),
            );
        } else {
            write_list_metadata(&self.list, out);
        }
        if self.encoder.form.shape == Shape::Table {
            out.extend_from_slice(b",\"columnDefinitions\":");
            super::text::write(&table::columns(&self.encoder.kind.def), out);
            out.extend_from_slice(b",\"rows\":[");
        } else if self.is_null() {
            out.extend_from_slice(b",\"items\":null");
        } else {
            out.extend_from_slice(b",\"items\":[");
        }
    }

    /// As Go writes a list that was never made: one of metadata without elements.
    fn is_null(&self) -> bool {
        self.encoder.form.shape == Shape::PartialList && self.list.items.is_empty()
    }

    fn item(&self, at: usize, out: &mut Vec<u8>) {
        let entry = &self.list.items[at];
        match self.encoder.form.shape {
            Shape::Table => table::write_row(&self.encoder, entry, entry.revision, out),
            Shape::PartialList => self.encoder.partial(entry, entry.revision, out),
            _ => entry.write_list_item(&self.encoder.kind.def, out),
        }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut out = Vec::with_capacity(if self.list.items.len() < 8 { 4 << 10 } else { PIECE + (4 << 10) });
        if self.next == 0 {
            self.open(&mut out);
        }
        while self.next < self.list.items.len() && out.len() < PIECE {
            if self.next > 0 {
                out.push(b',');
            }
            self.item(self.next, &mut out);
            self.next += 1;
        }
        if self.next == self.list.items.len() {
            self.done = true;
            out.extend_from_slice(if self.is_null() { b"}\n" } else { b"]}\n" });
        }
        Some(Bytes::from(out))
    }
}
