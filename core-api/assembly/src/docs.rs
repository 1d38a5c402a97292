//! OpenAPI components of built-in types, from the facts table.

use proa_crds::facts::{OpenApiVersion, find_schema, openapi_component};
use proa_schema::SchemaRef;
use proa_server::openapi::{OpenApi, SchemaDocs};
use serde_json::Value;

/// The built-in catalogue's types.
pub(crate) struct Catalogue;

impl SchemaDocs for Catalogue {
    fn component(&self, type_name: &str, version: OpenApi) -> Value {
        let version = match version {
            OpenApi::V2 => OpenApiVersion::V2,
            OpenApi::V3 => OpenApiVersion::V3,
        };
        openapi_component(type_name, version)
    }
    fn schema(&self, type_name: &str) -> Option<SchemaRef> {
        find_schema(type_name)
    }
}
