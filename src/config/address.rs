//! Addresses: `HOST:PORT`, checked by their form and never looked up.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The address in its one spelling (`[::1]:8001`, `localhost:8001`), or one sentence about what is
/// wrong with it.
///
/// The host is an IPv4 address, an IPv6 address in brackets (without a zone), or a name of at most
/// 253 letters, digits, dots, hyphens and underscores; the port is 1 to 65535.
pub fn parse_address(text: &str) -> Result<String, String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or("write HOST:PORT, such as 127.0.0.1:8001")?;
    let host = parse_host(host)?;
    let port = Some(port)
        // parse() alone would accept a sign.
        .filter(|port| port.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|port| port.parse::<u16>().ok())
        .filter(|&port| port > 0)
        .ok_or("the port after the last colon is a number from 1 to 65535")?;
    Ok(format!("{host}:{port}"))
}

fn parse_host(host: &str) -> Result<String, String> {
    if let Some(inside) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: Ipv6Addr = inside
            .parse()
            .map_err(|_| "what stands in brackets is not an IPv6 address")?;
        return Ok(format!("[{address}]"));
    }
    if host.contains(':') {
        return Err("an IPv6 address stands in brackets, such as [::1]:8001".to_string());
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > 253 || host.starts_with('-') || !host.bytes().all(allowed) {
        return Err("the host before the colon is an IP address or a machine's name".to_string());
    }
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') && host.parse::<Ipv4Addr>().is_err() {
        return Err(format!("{host} is not an IPv4 address"));
    }
    Ok(host.to_ascii_lowercase())
}

/// What two addresses share when they are the same place under two spellings.
pub(super) fn place(address: &str) -> String {
    match address.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_spelling() {
        for (text, address) in [
            ("127.0.0.1:8001", "127.0.0.1:8001"),
            ("LocalHost:8001", "localhost:8001"),
            ("[0:0::1]:65535", "[::1]:65535"),
            ("bob-1.example.org:1", "bob-1.example.org:1"),
        ] {
            assert_eq!(parse_address(text).as_deref(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":",
            "8001",
            "127.0.0.1",
            "127.0.0.1:",
            ":8001",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:+1",
            "127.0.0.1:8001 ",
            " 127.0.0.1:8001",
            "127.0.0.256:8001",
            "1.2.3:8001",
            "::1:8001",
            "[::1]",
            "[::1",
            "[::g]:8001",
            "[127.0.0.1]:8001",
            "a/b:8001",
            "a b:8001",
            "http://127.0.0.1:8001",
            "a@b:8001",
            "-a:8001",
            "a\n:8001",
        ] {
            assert!(parse_address(text).is_err(), "{text:?}");
        }
        assert!(parse_address(&format!("{}:1", "a".repeat(254))).is_err());
    }
}
