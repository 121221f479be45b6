//! What helps to test services and transports; not for production.

pub mod sim;
