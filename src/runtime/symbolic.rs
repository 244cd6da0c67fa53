//! Symbolic shapes.
