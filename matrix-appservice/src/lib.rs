//! A framework for Matrix application services.
