//! What one instance may hold.

use wasmtime::ResourceLimiter;

/// Memories of an instance. Toolchains make one; each reserves addresses, also where it is empty.
const MAX_MEMORIES: usize = 4;

/// Tables of an instance. Toolchains make one or two.
const MAX_TABLES: usize = 16;

/// Caps of one instance. They bound what the guest itself allocates, not what it makes the
/// host keep.
#[derive(Clone, Copy, Debug)]
pub struct InstanceLimits {
    /// Bytes of linear memory, all memories together.
    pub memory: u64,
    /// Elements of all tables.
    pub table_elements: u32,
}

/// Counts what an instance has and refuses growth past the limits, as if the machine had no
/// more: the guest sees -1 and decides, which is what it sees in Envoy.
#[derive(Debug)]
pub struct Limiter {
    limits: InstanceLimits,
    memory: usize,
    table_elements: usize,
    refused: bool,
}

impl Limiter {
    /// A limiter for a new instance.
    pub const fn new(limits: InstanceLimits) -> Self {
        Self {
            limits,
            memory: 0,
            table_elements: 0,
            refused: false,
        }
    }

    /// Bytes of linear memory in use.
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Whether growth was refused since [`Self::forget_refusal`]: why a guest traps that takes
    /// memory for granted.
    pub const fn refused(&self) -> bool {
        self.refused
    }

    /// Begins another call.
    pub const fn forget_refusal(&mut self) {
        self.refused = false;
    }
}

impl ResourceLimiter for Limiter {
    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        let fits = u64::try_from(total).is_ok_and(|total| total <= self.limits.memory);
        if fits {
            self.memory = total;
        }
        self.refused |= !fits;
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        let fits =
            u64::try_from(total).is_ok_and(|total| total <= u64::from(self.limits.table_elements));
        if fits {
            self.table_elements = total;
        }
        self.refused |= !fits;
        Ok(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_stops_at_the_limit_and_counts_all_memories() {
        let mut limiter = Limiter::new(InstanceLimits {
            memory: 100,
            table_elements: 3,
        });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!(limiter.memory(), 100);
        assert!(limiter.table_growing(0, 3, None).unwrap());
        assert!(!limiter.table_growing(3, 4, None).unwrap());
    }
}
