//! A revisioned map from key to bytes with a change log.
