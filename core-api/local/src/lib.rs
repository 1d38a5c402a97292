//! A kube::Client over Api::call, for code in the same process.
