//! The embedded deployment that the drill and the tests share, with fault injection.
