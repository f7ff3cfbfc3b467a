//! `envoy_resolve_dns`, which Envoy's Wasm filter has beside the ABI.
//!
//! The answer comes to the root context as `envoy_on_resolve_dns`, with what was found in the
//! buffer of call data: how many addresses, then for each how many seconds it is good for, then
//! each as text that ends in a NUL.

use std::net::{SocketAddr, ToSocketAddrs as _};

use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::status::{Hostcall, Status};

/// Names of an instance that are being looked up at a time. Each waits for the system's resolver.
const MAX_OPEN: usize = 64;

/// How long an address is good for, in seconds. The system's resolver does not tell; Envoy's says
/// the same where it uses that one.
const GOOD_FOR: u32 = 60;

/// The lookups of an instance.
#[derive(Debug)]
pub(in crate::proxy_wasm) struct Lookups {
    open: usize,
    last: u32,
}

impl Default for Lookups {
    fn default() -> Self {
        // Envoy gives out 2 first.
        Self { open: 0, last: 1 }
    }
}

impl Lookups {
    /// An answer has come.
    pub(in crate::proxy_wasm) const fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

pub(in crate::proxy_wasm) fn resolve(
    guest: &mut Guest<'_>,
    name_ptr: u32,
    name_len: u32,
    out: u32,
) -> Hostcall {
    let name = Range::check(guest, name_ptr, name_len)?;
    let lookups = &mut guest.data_mut().lookups;
    if lookups.open >= MAX_OPEN {
        return Err(Status::InternalFailure.into());
    }
    lookups.last = lookups.last.checked_add(1).unwrap_or(1);
    let token = lookups.last;
    memory::write_u32(guest, out, token)?;
    let name = String::from_utf8_lossy(name.of(memory::bytes(guest))?).into_owned();
    let state = guest.data_mut();
    state.lookups.open += 1;
    state.outbox.lookups.push((token, name));
    Ok(())
}

/// Looks a name up, and puts what there is into the form that guests get. Blocks.
pub fn look_up(name: &str) -> Vec<u8> {
    let found = (name, 0).to_socket_addrs();
    let mut found: Vec<SocketAddr> = found.map(Iterator::collect).unwrap_or_default();
    // One for each kind of socket.
    found.dedup();
    // As Envoy asks: the newer kind of address, or else the older.
    if found.iter().any(SocketAddr::is_ipv6) {
        found.retain(SocketAddr::is_ipv6);
    }
    encode(&found)
}

/// Nothing at all where there is no address.
fn encode(addresses: &[SocketAddr]) -> Vec<u8> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let mut bytes = count.to_le_bytes().to_vec();
    for _ in addresses {
        bytes.extend_from_slice(&GOOD_FOR.to_le_bytes());
    }
    for address in addresses {
        bytes.extend_from_slice(address.to_string().as_bytes());
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_with_their_number_and_age() {
        let address = |text: &str| text.parse().unwrap();
        let bytes = encode(&[address("10.0.0.1:0"), address("[::1]:0")]);
        assert_eq!(
            bytes,
            b"\x02\0\0\0\x3c\0\0\0\x3c\0\0\x0010.0.0.1:0\0[::1]:0\0"
        );
        assert_eq!(encode(&[]), b"");
    }

    #[test]
    fn an_address_is_its_own_and_nonsense_is_nobodys() {
        assert_eq!(
            look_up("127.0.0.1"),
            encode(&["127.0.0.1:0".parse().unwrap()])
        );
        assert_eq!(look_up("no such host"), b"");
    }
}
