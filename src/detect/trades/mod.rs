//! Trade rows against policies, through logical roles.
