//! Composition root: the only room that names concrete adapters.
