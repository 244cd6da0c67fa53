//! Fusion passes over a graph whose types are known.
