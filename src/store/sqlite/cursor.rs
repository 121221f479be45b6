//! Where to read from: behind what was read. One writer at a time commits ids in their order.

#[derive(Debug, Default)]
pub(super) struct Cursor {
    read: i64,
}

impl Cursor {
    /// Forgets what was read: the next read begins at the first row.
    pub(super) fn restart(&mut self) {
        self.read = 0;
    }

    pub(super) fn from(&self) -> i64 {
        self.read
    }

    pub(super) fn read(&mut self, last: i64) {
        self.read = self.read.max(last);
    }
}
