//! The server with real sockets, fed with objects as the watches would.

mod balancing;
mod connections;
mod passing;
mod secure;
mod world;
