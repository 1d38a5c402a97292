//! The operator SDK: cache, wiring, act, events, conditions, leader election.
