//! The node-lifecycle operator.
