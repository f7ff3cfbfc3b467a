//! Whose a file is.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// Access bits of anybody but the owner.
const OTHERS: u32 = 0o077;

/// The user that this process acts as, told by the kernel: the standard library cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User(u32);

impl User {
    /// The effective user of this process.
    pub(super) fn current() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        // Real, effective, saved, and that of file accesses.
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let effective = ids.and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok());
        let user = effective.map(Self);
        user.ok_or_else(|| io::Error::other("/proc/self/status names no user"))
    }

    /// Whether this user alone can do anything with a file or directory (root always can).
    pub(super) fn owns_alone(self, metadata: &Metadata) -> bool {
        self.owns(metadata) && metadata.mode() & OTHERS == 0
    }

    /// Whether it is this user's.
    pub(super) fn owns(self, metadata: &Metadata) -> bool {
        metadata.uid() == self.0
    }
}
