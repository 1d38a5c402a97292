//! Names of services and pods, answered by every node.
