//! One suite for both ways to the API: in the process, and over TLS on the loopback interface.

mod documents;
mod reads;
mod refusals;
mod support;
mod toys;
mod watches;
mod writes;
