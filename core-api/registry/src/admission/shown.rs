//! The object that a request is about, as others than the registry see it: a Scale for `/scale`, a body of its own kind
//! for other subresources.

use super::{AdmissionRequest, Operation};
use crate::{
    kind::SubresourceDef,
    metadata,
    verbs::{decode_types, scale},
};
use proa_meta::{ApiError, ApiResult, Gvk};
use serde_json::{Value, json};
use std::borrow::Cow;

impl AdmissionRequest<'_> {
    fn part(&self) -> Option<&SubresourceDef> {
        self.kind.subresources.iter().find(|part| part.name == self.subresource)
    }

    fn scale(&self) -> Option<&crate::kind::Scale> {
        self.kind.scale.as_ref().filter(|_| self.subresource == "scale")
    }

    /// Kind of the object that is shown.
    pub fn gvk(&self) -> Gvk {
        if self.scale().is_some() {
            return Gvk::new("autoscaling", "v1", "Scale");
        }
        self.part().map_or_else(|| self.kind.gvk.clone(), |part| part.gvk.clone())
    }

    /// The object as it is shown.
    pub fn show<'v>(&self, object: &'v Value) -> Cow<'v, Value> {
        match self.scale() {
            Some(declared) if !object.is_null() => Cow::Owned(scale::scale_of(object, declared)),
            _ => Cow::Borrowed(object),
        }
    }

    /// Takes a changed form of what was shown in the object's place: fields that the kind does not know are dropped,
    /// defaults are set.
    ///
    /// # Errors
    /// The changed form is no object of the kind, or there is nothing that could be changed.
    pub fn accept(&self, object: &mut Value, mut changed: Value) -> ApiResult<()> {
        if self.operation == Operation::Connect {
            return Err(ApiError::internal("the options of a connection cannot be changed by admission"));
        }
        if let Some(declared) = self.scale() {
            scale::set(object, &declared.spec_replicas, scale::replicas_of(&changed)?);
            return Ok(());
        }
        let gvk = self.gvk();
        let members = metadata::map(&mut changed);
        members.insert("apiVersion".to_owned(), json!(gvk.api_version()));
        members.insert("kind".to_owned(), json!(gvk.kind));
        match self.part() {
            Some(part) => {
                proa_schema::decode::decode(&part.schema, &mut changed)?;
                proa_schema::default::default_values(&part.schema, &mut changed);
            }
            None => {
                decode_types(self.registry, self.kind, &mut changed)?;
            }
        }
        *object = changed;
        Ok(())
    }
}
