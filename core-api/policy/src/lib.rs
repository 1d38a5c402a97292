//! Built-in admission plugins and authorizers.
