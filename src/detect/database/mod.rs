//! Persistence left in a database: rules over the objects of its catalog.
