//! Descriptions of types and fields, as `kubectl explain` and OpenAPI documents show them.
//!
//! They are k8s-openapi's, made by the build script, and stay deflated in the binary: one lookup inflates one chunk.

use flate2::read::DeflateDecoder;
use std::{
    io::Read,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

const DATA: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.bin"));
const INDEX: &str = include_str!(concat!(env!("OUT_DIR"), "/descriptions.idx"));

/// Descriptions of one type.
#[derive(Clone, Debug)]
pub struct Descriptions {
    text: String,
    /// Name and text of each field.
    fields: Vec<(String, String)>,
}

impl Descriptions {
    /// What the type is; empty when nothing is said.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// What a field is, by its JSON name; empty when nothing is said.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, text)| text)
    }
}

/// The descriptions of a type by its OpenAPI name. Lists and some common types have none.
pub fn descriptions(type_name: &str) -> Option<Descriptions> {
    let chunk = inflate(chunk_of(type_name)?)?;
    let record = chunk.split('\x1e').find(|record| record.split('\x1f').next() == Some(type_name))?;
    let mut parts = record.split('\x1f').skip(1).map(str::to_owned);
    let text = parts.next().unwrap_or_default();
    let mut fields = Vec::new();
    while let (Some(name), Some(text)) = (parts.next(), parts.next()) {
        fields.push((name, text));
    }
    Some(Descriptions { text, fields })
}

/// Where the chunk lies that would hold the type: the last one that starts at or before its name.
fn chunk_of(type_name: &str) -> Option<Range<usize>> {
    let line = INDEX
        .lines()
        .take_while(|line| line.split('\t').next().is_some_and(|first| first <= type_name))
        .last()?;
    let mut columns = line.split('\t').skip(1);
    let offset: usize = columns.next()?.parse().ok()?;
    let length: usize = columns.next()?.parse().ok()?;
    Some(offset..offset + length)
}

/// The text of a chunk. The last one is kept, since a document asks for types in order.
fn inflate(range: Range<usize>) -> Option<Arc<str>> {
    static LAST: Mutex<Option<(usize, Arc<str>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((start, text)) = &*last
        && *start == range.start
    {
        return Some(Arc::clone(text));
    }
    let start = range.start;
    let mut text = String::new();
    DeflateDecoder::new(DATA.get(range)?).read_to_string(&mut text).ok()?;
    let text: Arc<str> = text.into();
    *last = Some((start, Arc::clone(&text)));
    Some(text)
}
