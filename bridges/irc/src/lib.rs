//! A bridge between Matrix and IRC.
