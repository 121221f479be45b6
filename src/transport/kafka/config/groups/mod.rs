//! The settings, group by group. Each is declared once, in its row.

pub(super) mod connection;
pub(super) mod consumer;
pub(super) mod failure;
pub(super) mod producer;
