//! The request path without a socket: Api::call(Request) -> Response.
