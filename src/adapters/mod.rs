//! Adapters: the ports, on real systems.
