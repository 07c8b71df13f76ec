//! What a request's head says, and why it is refused. No sockets here.
//!
//! [`parse_head`] is asked again each time that more of a request has arrived. It promises that the
//! pieces make no difference: once a beginning of some bytes is a head or is refused, so are all
//! the bytes, with the same head or for the same reason. And a head that it accepts is nothing but
//! its own bytes: what follows it changes nothing.

use httparse::{Error, Header, Request, Status};

use super::Limits;

/// Headers beyond these are too many; a call has half a dozen.
const MAX_HEADERS: usize = 64;

/// A head that is complete and acceptable.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes in the head itself.
    pub len: usize,
    /// Bytes in the body that follows.
    pub body: usize,
    /// Whether the connection is for further requests.
    pub keep_alive: bool,
    /// Whether to say so: HTTP/1.0 does not take it for granted.
    pub say_keep_alive: bool,
    /// Whether the client waits to be told that it may send the body.
    pub expects_continue: bool,
}

/// Why a request is not served. The connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `413 Content Too Large`.
    pub status: &'static str,
    /// A sentence for whoever wrote the client.
    pub text: &'static str,
}

impl Refusal {
    pub(super) const TOO_SLOW: Refusal = Refusal::new(
        "408 Request Timeout",
        "the request did not arrive in time; send it without pauses",
    );
    pub(super) const PIPELINED: Refusal = Refusal::new(
        "400 Bad Request",
        "bytes after the body; wait for the reply before the next request",
    );

    const fn new(status: &'static str, text: &'static str) -> Refusal {
        Refusal { status, text }
    }
}

/// The head at the start of `bytes`; `None` when it is not complete yet.
pub fn parse_head(bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Refusal> {
    const TOO_LARGE: Refusal = Refusal::new(
        "431 Request Header Fields Too Large",
        "the request line and headers are too large",
    );
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    let within = &bytes[..bytes.len().min(limits.max_head)];
    let len = match request.parse(within) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) if within.len() == limits.max_head => return Err(TOO_LARGE),
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(Error::Version) => {
            return Err(Refusal::new(
                "505 HTTP Version Not Supported",
                "this server speaks HTTP/1.1 and HTTP/1.0",
            ));
        }
        Err(_) => {
            return Err(Refusal::new(
                "400 Bad Request",
                "the request is not HTTP/1.1",
            ));
        }
    };
    let modern = request.version == Some(1);
    let headers = &*request.headers;

    if request.method != Some("POST") {
        return Err(Refusal::new(
            "405 Method Not Allowed",
            "XML-RPC is called with POST",
        ));
    }
    if !matches!(path(request.path.unwrap_or("")), "/RPC2" | "/") {
        return Err(Refusal::new(
            "404 Not Found",
            "the path of XML-RPC is /RPC2",
        ));
    }
    if values(headers, "origin").next().is_some() {
        return Err(Refusal::new(
            "403 Forbidden",
            "web pages are not served: the request has an Origin header",
        ));
    }
    let body = body_length(headers, limits)?;
    if !is_xml(headers) {
        return Err(Refusal::new(
            "415 Unsupported Media Type",
            "the Content-Type of XML-RPC is text/xml",
        ));
    }
    let mut expects_continue = false;
    for value in values(headers, "expect") {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::new(
                "417 Expectation Failed",
                "the one expectation that can be met is 100-continue",
            ));
        }
        // HTTP/1.0 has no such reply (RFC 9110, 10.1.1).
        expects_continue = modern;
    }
    let connection = |option: &str| {
        values(headers, "connection")
            .flat_map(|value| value.split(|&b| b == b','))
            .any(|value| value.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    };
    let keep_alive = !connection("close") && (modern || connection("keep-alive"));
    Ok(Some(Head {
        len,
        body,
        keep_alive,
        say_keep_alive: keep_alive && !modern,
        expects_continue,
    }))
}

/// How long the body is, when the head leaves no doubt about it.
fn body_length(headers: &[Header<'_>], limits: &Limits) -> Result<usize, Refusal> {
    let mut lengths = values(headers, "content-length");
    let length = lengths.next();
    if values(headers, "transfer-encoding").next().is_some() {
        return Err(match length {
            None => Refusal::new(
                "411 Length Required",
                "Transfer-Encoding is refused; send Content-Length",
            ),
            Some(_) => Refusal::new(
                "400 Bad Request",
                "Transfer-Encoding beside Content-Length is refused",
            ),
        });
    }
    let Some(length) = length else {
        return Err(Refusal::new("411 Length Required", "send Content-Length"));
    };
    if lengths.next().is_some() {
        return Err(Refusal::new(
            "400 Bad Request",
            "Content-Length more than once",
        ));
    }
    /// Digits of the largest number of 64 bits. More of them are a game, not a length.
    const MAX_DIGITS: usize = 20;
    if length.is_empty() || length.len() > MAX_DIGITS || !length.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::new(
            "400 Bad Request",
            "Content-Length is not a plain number",
        ));
    }
    // Nineteen nines fit into 64 bits, so only the sum can be too large, and it saturates.
    let length = length.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    match usize::try_from(length) {
        Ok(length) if length <= limits.max_body => Ok(length),
        _ => Err(Refusal::new(
            "413 Content Too Large",
            "the body is too large",
        )),
    }
}

/// Whether there is one Content-Type, and it is XML.
fn is_xml(headers: &[Header<'_>]) -> bool {
    let mut types = values(headers, "content-type");
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = value.split(|&b| b == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    essence.eq_ignore_ascii_case(b"text/xml") || essence.eq_ignore_ascii_case(b"application/xml")
}

/// The values of all headers of that name.
fn values<'a>(headers: &'a [Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
}

/// The path of a request's target, which may be a whole URL (RFC 9112, 3.2.2).
fn path(target: &str) -> &str {
    match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    }
}
