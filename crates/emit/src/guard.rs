//! Which addresses a webhook may reach: public ones, and the networks that its config names.
//!
//! A URL comes from a config, but where its name leads is somebody else's word, and what stands behind
//! the firewall trusts whoever is there. So names are resolved here, and addresses that are not public
//! are left out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Networks that may be reached though they are not public.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    allowed: Arc<[IpNet]>,
}

impl Guard {
    pub(crate) fn new(allowed: &[IpNet]) -> Self {
        Self {
            allowed: allowed.into(),
        }
    }

    fn lets(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || self
                .allowed
                .iter()
                .any(|network| network.contains(&address))
    }

    /// Checks an address that stands in a URL itself: nobody resolves it.
    pub(crate) fn check(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse() {
            Ok(address) if !self.lets(address) => Err(refusal(host, &[address])),
            _ => Ok(()),
        }
    }
}

fn refusal(host: &str, addresses: &[IpAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!(
        "{host} is at {}, which is no public address: name its network in `allow_networks`, if it is meant",
        addresses.join(", ")
    )
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            let lets = |address: &SocketAddr| guard.lets(address.ip());
            let allowed: Vec<_> = found.iter().copied().filter(lets).collect();
            if allowed.is_empty() {
                let refused: Vec<_> = found.iter().map(SocketAddr::ip).collect();
                return Err(refusal(&host, &refused).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address is of the public Internet (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        // Shared by carriers; of protocols; of benchmarks.
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let embedded = |at: usize| {
        let bits = u32::from(parts[at]) << 16 | u32::from(parts[at + 1]);
        is_public_v4(Ipv4Addr::from_bits(bits))
    };
    match parts {
        // 6to4 and NAT64 lead to what they hold.
        [0x2002, ..] => embedded(1),
        [0x64, 0xff9b, 0, ..] => embedded(6),
        // Documentation; protocols.
        [0x2001, 0xdb8, ..] => false,
        [0x2001, second, ..] if second < 0x200 => false,
        // Of all others only 2000::/3 is given out.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &[&str], url: &str, expect: bool) {
        let allowed: Vec<IpNet> = allowed.iter().map(|it| it.parse().unwrap()).collect();
        let checked = Guard::new(&allowed).check(&Url::parse(url).unwrap());
        assert_eq!(
            checked.is_ok(),
            expect,
            "{url} with {allowed:?}: {checked:?}"
        );
    }

    #[test]
    fn only_public_addresses_are_reached_without_a_word() {
        for address in [
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "100.128.0.1",
            "[2606:4700::1111]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::808:808]",
            "[2002:808:808::1]",
        ] {
            check(&[], &format!("https://{address}/x"), true);
        }
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            // Other spellings of loopback.
            "2130706433",
            "0x7f.1",
            "[::1]",
            "[::]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[ff02::1]",
        ] {
            check(&[], &format!("http://{address}:80/x"), false);
        }
    }

    #[test]
    fn a_network_that_is_named_is_meant() {
        check(&["10.0.0.0/8"], "http://10.1.2.3/", true);
        check(&["10.0.0.0/8"], "http://192.168.1.1/", false);
        check(&["::1/128", "127.0.0.0/8"], "http://[::1]/", true);
        check(&["127.0.0.0/8"], "http://[::ffff:127.0.0.1]/", true);
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_leads_nowhere() {
        let resolve = async |allowed: &[&str]| {
            let allowed: Vec<IpNet> = allowed.iter().map(|it| it.parse().unwrap()).collect();
            let found = Guard::new(&allowed)
                .resolve("localhost".parse().unwrap())
                .await;
            found
                .map(Iterator::count)
                .map_err(|error| error.to_string())
        };
        let refused = resolve(&[]).await.unwrap_err();
        assert!(refused.contains("allow_networks"), "{refused}");
        assert!(resolve(&["127.0.0.0/8", "::1/128"]).await.unwrap() > 0);
    }
}
