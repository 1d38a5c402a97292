//! Pods bound to a node, carried to the runtime.
