//! A stored object in protobuf: its bytes, transcoded. Only built-in kinds have this form.

use super::{Entry, Ordering};
use crate::kind::KindDef;
use proa_schema::protobuf;

impl Entry {
    /// Appends the object's message as a list has it, without an envelope. `json` is room for its JSON form.
    ///
    /// # Errors
    /// The stored bytes are no JSON: the store is damaged.
    pub fn write_message(
        &self,
        def: &KindDef,
        json: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        json.clear();
        self.write_list_item(def, json);
        protobuf::encode_json(&def.schema, json, out)
    }

    /// Length of that message; kept, so that a large list is transcoded only once.
    /// `json` and `room` are room for the forms that it is measured by.
    ///
    /// # Errors
    /// As [`Self::write_message`].
    pub fn message_length(
        &self,
        def: &KindDef,
        json: &mut Vec<u8>,
        room: &mut Vec<u8>,
    ) -> Result<u32, serde_json::Error> {
        // Another version's message has another length, and is not kept.
        let kept = def.convert.is_none().then_some(&self.decoded.message_length);
        if let Some(length) = kept.map(|kept| kept.load(Ordering::Relaxed)).filter(|length| *length > 0) {
            return Ok(length);
        }
        room.clear();
        self.write_message(def, json, room)?;
        let length = super::offset(room.len());
        if let Some(kept) = kept {
            kept.store(length, Ordering::Relaxed);
        }
        Ok(length)
    }
}
