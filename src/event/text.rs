//! Texts that come again with each event: names of events and of services.
//!
//! A busy service makes and frees thousands of copies of few of them a second.

use std::cell::RefCell;
use std::sync::Arc;

/// Texts that a thread remembers.
const REMEMBERED: usize = 32;
/// The longest of them, in bytes: what a thread keeps is bounded.
const LONGEST: usize = 256;

thread_local! {
    static LATEST: RefCell<[Option<Arc<str>>; REMEMBERED]> = const { RefCell::new([const { None }; REMEMBERED]) };
}

/// The text, in the allocation that it had when this thread met it last.
pub(crate) fn shared(text: &str) -> Arc<str> {
    let place = match text.as_bytes() {
        [first, .., last] if text.len() <= LONGEST => {
            (text.len() * 7 + usize::from(*first) * 3 + usize::from(*last)) % REMEMBERED
        }
        _ => return text.into(),
    };
    let remembered = LATEST.try_with(|latest| {
        let latest = &mut latest.borrow_mut()[place];
        match latest {
            Some(same) if **same == *text => same.clone(),
            _ => latest.insert(text.into()).clone(),
        }
    });
    // A thread that ends remembers nothing.
    remembered.unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_one_allocation_and_another_its_own() {
        let (first, again) = (shared("user_created"), shared("user_created"));
        assert!(Arc::ptr_eq(&first, &again));
        // Of the same length and ends, so that they share a place.
        let others = ["user_crxated", "", "x", &"x".repeat(LONGEST + 1)];
        for other in others {
            assert_eq!(&*shared(other), other);
        }
        assert_eq!(&*shared("user_created"), "user_created");
    }
}
