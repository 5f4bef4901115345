//! Log events against Sigma rules.
