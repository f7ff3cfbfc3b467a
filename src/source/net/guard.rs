//! Which addresses may be talked to.
//!
//! A cloud machine's metadata server hands out the machine's own credentials to whoever asks from
//! it, so nothing that a plugin's URL can lead to may reach one. Checked are addresses and never
//! names: at the end of name resolution, and where a URL holds an address itself (the resolver is
//! not asked then). Addresses that carry another one inside are checked for both.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use crate::plugin::defaults::BLOCKED_CIDRS;

/// Decides about addresses.
#[derive(Clone)]
pub(crate) struct Guard {
    blocked: Arc<[IpNet]>,
    /// Loopback and private networks are blocked, too.
    public_only: bool,
}

/// An address that is not to be talked to.
#[derive(Clone, Debug, Error)]
#[error("{host} is at {address}, which is blocked")]
pub(super) struct Blocked {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

/// A name without an address.
#[derive(Clone, Debug, Error)]
#[error("cannot resolve {host}: {reason}")]
pub(super) struct Unresolved {
    pub(super) host: String,
    pub(super) reason: String,
}

impl Guard {
    /// Blocks `networks`, and those that are always blocked, whatever the settings say.
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        let always = BLOCKED_CIDRS
            .iter()
            .filter_map(|net| IpNet::from_str(net).ok());
        Self {
            blocked: always.chain(networks.iter().copied()).collect(),
            public_only: false,
        }
    }

    /// Blocks loopback and private networks, too.
    pub(crate) fn public_only(&self) -> Self {
        Self {
            public_only: true,
            ..self.clone()
        }
    }

    /// Whether `address`, which `host` resolved to, may be talked to.
    pub(super) fn check(&self, host: &str, address: IpAddr) -> Result<(), Blocked> {
        let refused = forms(address).into_iter().flatten().any(|form| {
            self.blocked.iter().any(|net| net.contains(&form))
                || self.public_only && is_private(form)
        });
        if refused {
            return Err(Blocked {
                host: host.to_owned(),
                address,
            });
        }
        Ok(())
    }

    /// Checks a URL's host if it is an address; names are checked when they are resolved.
    pub(super) fn check_host(&self, host: &str) -> Result<(), Blocked> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse() {
            Ok(address) => self.check(host, address),
            Err(_) => Ok(()),
        }
    }

    /// The addresses of `found` that may be talked to.
    fn admit(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Blocked> {
        let mut refused = None;
        let mut admitted = found;
        admitted.retain(|address| match self.check(host, address.ip()) {
            Ok(()) => true,
            Err(blocked) => {
                refused = Some(blocked);
                false
            }
        });
        match refused {
            Some(blocked) if admitted.is_empty() => Err(blocked),
            _ => Ok(admitted),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let unresolved = |reason| Unresolved {
                host: host.clone(),
                reason,
            };
            let found = tokio::net::lookup_host((host.as_str(), 0))
                .await
                .map_err(|error| unresolved(error.to_string()))?;
            let admitted = guard.admit(&host, found.collect())?;
            if admitted.is_empty() {
                return Err(unresolved("it has no address".to_owned()).into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.blocked.iter()).finish()
    }
}

/// Whether only this machine or its own network has `address`.
pub(super) fn is_private(address: IpAddr) -> bool {
    forms(address).into_iter().flatten().any(|form| match form {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
        }
    })
}

/// `address`, and the IPv4 address that it leads to where it carries one.
fn forms(address: IpAddr) -> [Option<IpAddr>; 2] {
    let inner = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
    };
    [Some(address), inner]
}

/// Mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`), translated (`64:ff9b::a.b.c.d`) and 6to4
/// (`2002:ab:cd::`) addresses.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(from(high, low))
        }
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_servers_are_blocked_in_every_spelling() {
        let guard = Guard::new(&[]);
        for host in [
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
        ] {
            assert!(guard.check_host(host).is_err(), "{host}");
        }
        for host in ["127.0.0.1", "10.0.0.1", "[::1]", "1.1.1.1", "r.example"] {
            assert!(guard.check_host(host).is_ok(), "{host}");
        }
    }

    #[test]
    fn networks_of_the_settings_come_on_top() {
        let guard = Guard::new(&["10.0.0.0/8".parse().unwrap()]);
        assert!(guard.check_host("10.1.2.3").is_err());
        assert!(guard.check_host("[::ffff:10.1.2.3]").is_err());
        assert!(guard.check_host("169.254.169.254").is_err());
        assert!(guard.check_host("11.1.2.3").is_ok());
    }

    #[test]
    fn public_only_means_public_only() {
        let guard = Guard::new(&[]).public_only();
        for host in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.0.1",
            "[::1]",
            "[fd00::1]",
            "0.0.0.0",
        ] {
            assert!(guard.check_host(host).is_err(), "{host}");
        }
        assert!(guard.check_host("1.1.1.1").is_ok());
    }

    #[test]
    fn a_name_with_good_and_bad_addresses_keeps_the_good_ones() {
        let guard = Guard::new(&[]);
        let all: Vec<SocketAddr> = ["169.254.169.254:0", "1.1.1.1:0"]
            .map(|address| address.parse().unwrap())
            .to_vec();
        assert_eq!(guard.admit("x", all.clone()).unwrap(), all[1..]);
        assert!(guard.admit("x", all[..1].to_vec()).is_err());
    }
}
