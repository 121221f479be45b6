//! Sets of domain events: tuples of up to sixteen types.

use std::any::{TypeId, type_name};

use crate::event::DomainEvent;

/// Which domain events there are: a tuple of one to sixteen types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of domain events",
    note = "give a tuple of up to sixteen domain events, `(A, B, C)`, one alone as `(A,)`; call `covers` again for more"
)]
pub trait DomainEventSet {
    /// Calls `f` with each type and its full name.
    fn each(f: &mut dyn FnMut(TypeId, &'static str));
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        #[diagnostic::do_not_recommend]
        impl<$first: DomainEvent, $($rest: DomainEvent),*> DomainEventSet for ($first, $($rest,)*) {
            fn each(f: &mut dyn FnMut(TypeId, &'static str)) {
                f(TypeId::of::<$first>(), type_name::<$first>());
                $(f(TypeId::of::<$rest>(), type_name::<$rest>());)*
            }
        }
        tuples!($($rest)*);
    };
    () => {};
}

tuples!(A B C D E F G H I J K L M N O P);
