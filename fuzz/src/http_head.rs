//! The head of an HTTP request, as the server reads it.
//!
//! * **In any pieces the same.** The server looks at what has arrived, again and again. Each
//!   beginning of the bytes is undecided, or it is what the whole is: the same head, or the same
//!   refusal. So nobody can get by with pauses what they would not get without.
//! * **Nothing to smuggle.** A head that is accepted is read once more by a reader that knows
//!   nothing of the first: lines, and a colon in each. It must find the same method, exactly one
//!   Content-Length with the same number, no Transfer-Encoding and no Origin.
//! * **Bounded.** An accepted head and its announced body are within the limits; bytes beyond the
//!   head change nothing; as many bytes as a head may have are always enough to decide.
//! * A refusal is a status line and one sentence, and has nothing of the stranger's in it.
//!
//! All of it with the limits that a node has, and with a head so small that its limit is met.

use raftian::rpc::http::{Head, Limits, Refusal, parse_head};

use super::{cuts, sum};

/// At how many places an input is cut, of those that are possible.
const CUTS: usize = 32;

/// Panics unless these bytes are read as promised. Says whether they begin with a head that a node
/// accepts.
pub fn check(bytes: &[u8]) -> bool {
    let usual = Limits::default();
    let narrow = Limits {
        max_head: 192,
        max_body: 300,
        ..Limits::default()
    };
    for limits in [usual, narrow] {
        let whole = parse_head(bytes, &limits);
        match &whole {
            Ok(Some(head)) => accepted(bytes, head, &limits),
            Ok(None) => assert!(bytes.len() < limits.max_head, "undecided for ever"),
            Err(refusal) => refused(refusal),
        }
        for cut in cuts(bytes.len(), sum(bytes), CUTS) {
            in_two_pieces(bytes, cut, &whole, &limits);
        }
        // Where something may change: around the end of the head, and around the limit.
        let end = match &whole {
            Ok(Some(head)) => head.len,
            _ => 0,
        };
        for place in [end, limits.max_head] {
            for cut in place.saturating_sub(2)..(place + 2).min(bytes.len()) {
                in_two_pieces(bytes, cut, &whole, &limits);
            }
        }
    }
    matches!(parse_head(bytes, &Limits::default()), Ok(Some(_)))
}

fn in_two_pieces(bytes: &[u8], cut: usize, whole: &Result<Option<Head>, Refusal>, limits: &Limits) {
    let first = parse_head(&bytes[..cut], limits);
    if first != Ok(None) {
        assert_eq!(
            &first,
            whole,
            "decided after {cut} of {} bytes",
            bytes.len()
        );
    }
    if let Ok(Some(head)) = whole {
        // Neither earlier nor later than at its last byte.
        assert_eq!(first.is_ok_and(|first| first.is_some()), cut >= head.len);
    }
}

fn accepted(bytes: &[u8], head: &Head, limits: &Limits) {
    assert!(head.len <= limits.max_head && head.body <= limits.max_body);
    assert!(!head.say_keep_alive || head.keep_alive);

    let text = &bytes[..head.len];
    let alone = parse_head(text, limits);
    assert_eq!(alone.as_ref().ok().and_then(Option::as_ref), Some(head));
    let mut lines = text
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .skip_while(|line| line.is_empty());
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with(b"POST "), "a method that is not served");
    let modern = first.ends_with(b" HTTP/1.1");
    assert!(modern || first.ends_with(b" HTTP/1.0"), "another version");

    // The empty line that ends the head, and the nothing after it.
    let headers: Vec<&[u8]> = lines.collect();
    let headers = headers.strip_suffix(&[b"".as_slice(), b""]);
    let headers = headers.expect("the head ends with an empty line");
    let mut lengths = Vec::new();
    let mut types = 0;
    for line in headers {
        let colon = line.iter().position(|&byte| byte == b':');
        let (name, value) = line.split_at(colon.expect("a header has a colon"));
        let value = value[1..].trim_ascii();
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => lengths.push(value),
            b"content-type" => types += 1,
            b"transfer-encoding" | b"origin" => panic!("a header that is refused"),
            name => assert_eq!(name.trim_ascii(), name, "white space around a name"),
        }
    }
    assert_eq!(types, 1);
    let [length] = lengths[..] else {
        panic!("{} lengths", lengths.len());
    };
    let length = std::str::from_utf8(length).ok();
    assert_eq!(length.and_then(|text| text.parse().ok()), Some(head.body));
    assert!(length.is_some_and(|text| !text.starts_with('+')));
    assert!(
        !head.expects_continue || modern,
        "HTTP/1.0 has no 100 Continue"
    );
}

fn refused(refusal: &Refusal) {
    let (code, reason) = refusal.status.split_at(3);
    assert!(matches!(
        code.as_bytes(),
        [b'4' | b'5', b'0'..=b'9', b'0'..=b'9']
    ));
    assert!(reason.len() > 1 && reason.starts_with(' '));
    assert!(!refusal.text.is_empty() && !refusal.text.contains(['\r', '\n']));
}
