//! For those who watch.

/// Told how a download goes on. Called on the thread that fetches.
pub trait Progress: Send + Sync {
    /// The download of `what` begins, of `total` bytes if the server says so. Again where it
    /// begins anew.
    fn begin(&self, what: &str, total: Option<u64>);

    /// So many bytes more are there.
    fn advance(&self, bytes: u64);
}
