//! How values are read and shown.

use super::*;

#[test]
fn a_number_without_a_unit_is_milliseconds() {
    let mut value = Duration::ZERO;
    value.read("250").unwrap();
    assert_eq!((value, value.property()), (Duration::from_millis(250), Some("250".into())));
    value.read("1m30s").unwrap();
    assert_eq!(value.property(), Some("90000".into()));
    assert!(value.read("99999999999999999999").is_err());
    assert!(value.read("").is_err());
    assert!(value.outside(0, 1000).unwrap().contains("0s to 1s"));
    assert!(Duration::from_micros(1).outside(0, 1000).unwrap().contains("milliseconds"));
}

#[test]
fn numbers_and_switches_are_strict() {
    let mut number = 0_u32;
    for bad in ["", "+1", "-1", "1e3", "4294967296"] {
        assert!(number.read(bad).unwrap_err().contains("whole number"), "{bad}");
    }
    number.read("7").unwrap();
    assert_eq!(number.outside(8, 9), Some("it goes from 8 to 9".into()));
    let mut switch = false;
    switch.read("On").unwrap();
    assert!(switch);
    assert!(switch.read("maybe").is_err());
}

#[test]
fn a_value_that_is_not_there_is_shown_as_such_and_writes_no_property() {
    let mut password: Option<SecretString> = None;
    assert_eq!((password.show().as_str(), password.property()), (UNSET, None));
    password.read("hunter2").unwrap();
    assert_eq!((password.show().as_str(), password.property()), (HIDDEN, Some("hunter2".into())));
    assert!(password.is_secret());
}
