//! Addresses that no job is posted to: whoever may choose a host name must not be able to ask the
//! machine's own cloud for its credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// An address that is not connected to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is link-local or a cloud's metadata service; `allow_metadata_addresses = true` allows it"
)]
pub(super) struct Refused {
    pub(super) address: IpAddr,
}

/// Looks names up, and refuses a name if any of its addresses is guarded: checked here, the address
/// that was judged is the one that is connected to, whatever the next lookup would say.
#[derive(Debug)]
pub(super) struct Guarded;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is put in later, by the one who asked.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            match found.iter().map(SocketAddr::ip).find(is_guarded) {
                Some(address) => Err(Refused { address }.into()),
                None => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}

/// The address in the place of a host name, which is never looked up.
pub(super) fn written_in(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether an address is link-local or one of the fixed addresses of metadata services.
pub(super) fn is_guarded(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_guarded_v4(*v4),
        IpAddr::V6(v6) => is_guarded_v6(v6) || embedded_v4(v6).is_some_and(is_guarded_v4),
    }
}

fn is_guarded_v4(address: Ipv4Addr) -> bool {
    /// Alibaba Cloud, Oracle Cloud, and the host agent of Azure; the others are link-local.
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
        Ipv4Addr::new(168, 63, 129, 16),
    ];
    address.is_link_local() || METADATA.contains(&address)
}

fn is_guarded_v6(address: &Ipv6Addr) -> bool {
    /// AWS and Google Cloud.
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    address.is_unicast_link_local() || METADATA.contains(address)
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, or through NAT64.
fn embedded_v4(address: &Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => address.to_ipv4(),
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn metadata_addresses_are_guarded_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.0.1",
            "0xa9fea9fe",
            "2852039166",
            "0251.0376.0251.0376",
            "[fe80::1]",
            "[febf::1]",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
        ] {
            let url = Url::parse(&format!("http://{host}/latest")).unwrap();
            assert!(written_in(&url).is_some_and(|address| is_guarded(&address)), "{host}");
        }
        for host in ["127.0.0.1", "10.0.0.1", "169.253.0.1", "[::1]", "[fd00::1]", "example.com"] {
            let url = Url::parse(&format!("http://{host}/latest")).unwrap();
            assert!(!written_in(&url).is_some_and(|address| is_guarded(&address)), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let resolve = |name: &str| Guarded.resolve(Name::from_str(name).unwrap());
        assert!(resolve("localhost").await.unwrap().all(|address| address.ip().is_loopback()));
        // An address is looked up without any server, and found to be itself.
        let refused = resolve("169.254.169.254").await.err().unwrap();
        assert!(refused.is::<Refused>(), "{refused}");
    }
}
