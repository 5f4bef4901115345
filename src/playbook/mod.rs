//! Planners: policy and observed world in, plan out. Pure.
