//! A map from types: a `TypeId` is a hash already, so none is computed.

use std::any::TypeId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type TypeMap<V> = HashMap<TypeId, V, BuildHasherDefault<Identity>>;

#[derive(Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        // Not taken by today's `TypeId`; right, if slower, should it ever hash otherwise.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart() {
        let map: TypeMap<_> =
            [(TypeId::of::<u8>(), 1), (TypeId::of::<u16>(), 2), (TypeId::of::<&str>(), 3)]
                .into_iter()
                .collect();
        assert_eq!(map.get(&TypeId::of::<u16>()), Some(&2));
        assert_eq!(map.get(&TypeId::of::<u32>()), None);
    }
}
