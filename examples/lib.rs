//! Scenes for the examples.
