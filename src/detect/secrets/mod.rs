//! Leaked secret values and known key shapes in text.
