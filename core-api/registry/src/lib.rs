//! Object semantics for every kind alike: verbs, commit, watch cache, CRDs.
