//! The daemonset operator.
