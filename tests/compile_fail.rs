//! Mistakes that the compiler finds, and what it says: each message names the fix.
//!
//! After a change on purpose: `TRYBUILD=overwrite cargo test --test compile_fail`.
#![cfg(all(feature = "macros", feature = "json"))]

#[test]
fn a_mistake_is_told_with_its_fix() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
