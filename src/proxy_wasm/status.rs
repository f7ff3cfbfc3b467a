//! How a hostcall answers: a status that the guest sees, or a trap that ends it. Never muddled.

/// `proxy_status_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    ParseFailure = 4,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    Unimplemented = 12,
}

/// Why a hostcall did not do what it was asked for.
#[derive(Debug)]
pub(super) enum HostError {
    /// The guest's business.
    Status(Status),
    /// Ends the guest: it broke a rule, or trapped in its own allocator.
    Trap(wasmtime::Error),
}

impl From<Status> for HostError {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// What every hostcall returns.
pub(super) type Hostcall<T = ()> = Result<T, HostError>;

/// The number that goes back to the guest.
pub(super) fn answer(result: Hostcall) -> wasmtime::Result<u32> {
    match result {
        Ok(()) => Ok(Status::Ok as u32),
        Err(HostError::Status(status)) => Ok(status as u32),
        Err(HostError::Trap(error)) => Err(error),
    }
}
