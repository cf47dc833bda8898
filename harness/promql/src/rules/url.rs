//! Addresses, cut and escaped as Go does.

use std::net::IpAddr;

/// The address of a query on the server, after the server's own: tab 0 shows a graph, tab 1 a table.
pub(super) fn graph_link(query: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escape(query))
}

/// Go's `url.QueryEscape`.
pub(super) fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.extend(format!("%{byte:02X}").chars()),
        }
    }
    out
}

/// Go's `net.SplitHostPort`; `None` where that fails.
pub(super) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let colon = text.rfind(':')?;
    let host = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            (end + 2 == colon).then_some(&rest[..end])?
        }
        None => Some(&text[..colon]).filter(|host| !host.contains(':'))?,
    };
    let port = &text[colon + 1..];
    (!host.contains(['[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

/// The first part of a host name, with the port. Numeric addresses stay.
pub(super) fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let first = host.split('.').next().unwrap_or(host);
    match (port.is_empty(), first.contains(':')) {
        (true, _) => first.to_owned(),
        (false, true) => format!("[{first}]:{port}"),
        (false, false) => format!("{first}:{port}"),
    }
}
