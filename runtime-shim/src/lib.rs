//! The container runtime behind one trait, with a fake for simulated nodes.
