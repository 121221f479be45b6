//! Mistakes that the compiler finds, and what it says: each message names the fix.
//!
//! A forgotten `Serialize` is not among them: serde's own message names that fix, with a list of types
//! that changes with every dependency.
//!
//! They stand here and not with the library, so that what they are built with holds no C code.
//! After a change on purpose: `TRYBUILD=overwrite cargo test -p tidings-macros`.

#[test]
fn a_mistake_is_told_with_its_fix() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
