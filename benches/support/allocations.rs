//! An allocator that counts: `#[global_allocator] static COUNTING: Counting = Counting;`.
#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait; benchmarks only")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
pub(crate) struct Counting;

// SAFETY: every call goes to `System` as it came; counting touches no allocated memory, and a
// thread-local of a type without drop and with a const initial value allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: `pointer` came from `System`, with this layout; the caller checked `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Allocations on this thread for one call, over many.
pub(crate) fn per_call(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 1000;
    call();
    let before = COUNT.get();
    for _ in 0..CALLS {
        call();
    }
    (COUNT.get() - before) as f64 / f64::from(CALLS)
}
