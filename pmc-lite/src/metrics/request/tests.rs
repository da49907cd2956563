use super::{Answer, Content, MAX_REQUEST, Refusal, answer};
use crate::metrics::Format;
use proptest::prelude::*;

fn accepted(accept: &str) -> Answer {
    answer(format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}\r\n").as_bytes())
}

#[test]
fn format_follows_the_accept_header() {
    let metrics = |format| Answer::Send { content: Content::Metrics(format), head_only: false };
    let (openmetrics, older) = (metrics(Format::Openmetrics), metrics(Format::Prometheus));
    for (accept, expected) in [
        ("", &openmetrics),
        ("Accept: */*\r\n", &openmetrics),
        // Prometheus 3, Prometheus 2.
        (
            "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1\r\n",
            &openmetrics,
        ),
        ("accept: APPLICATION/OPENMETRICS-TEXT\r\n", &openmetrics),
        ("Accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n", &older),
        ("ACCEPT: text/html, text/plain\r\n", &older),
    ] {
        assert_eq!(&accepted(accept), expected, "{accept}");
    }
}

#[test]
fn path_selects_what_is_served() {
    let asked = |path: &str| {
        answer(format!("GET {path} HTTP/1.1\r\nAccept: text/html, text/plain\r\n\r\n").as_bytes())
    };
    let status = Answer::Send { content: Content::Status, head_only: false };
    assert_eq!((asked("/status.json"), asked("/status.json?now")), (status.clone(), status));
    for path in ["/", "/status", "/status.json/", "/metrics.json"] {
        assert_eq!(asked(path), Answer::Refused(Refusal::NoSuchPath), "{path}");
    }
}

#[test]
fn waits_for_a_complete_request_up_to_the_size_limit() {
    let whole = b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    for length in 0..whole.len() {
        assert_eq!(answer(&whole[..length]), Answer::Wait, "{length}");
    }
    let content = Content::Metrics(Format::Openmetrics);
    assert_eq!(answer(whole), Answer::Send { content, head_only: true });
    let endless = |length| [&b"GET /metrics HTTP/1.1\r\nA: "[..], &vec![b'a'; length]].concat();
    assert_eq!(answer(&endless(MAX_REQUEST / 2)), Answer::Wait);
    assert_eq!(answer(&endless(MAX_REQUEST)), Answer::Refused(Refusal::TooLong));
}

#[test]
fn content_length_is_that_of_the_text() {
    let content = Content::Metrics(Format::Prometheus);
    let whole = content.response(false, "a 1\n");
    assert!(whole.contains("\r\nContent-Length: 4\r\n") && whole.ends_with("\r\n\r\na 1\n"), "{whole}");
    let head = content.response(true, "a 1\n");
    assert_eq!(whole.strip_suffix("a 1\n"), Some(head.as_str()));
}

proptest! {
    /// Random bytes are never taken for a request, and waiting ends at the size limit.
    #[test]
    fn garbage_is_rejected(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Answer::Send { .. } = answer(&bytes) {
            panic!("{:?}", String::from_utf8_lossy(&bytes));
        }
        let long: Vec<u8> = bytes.iter().copied().cycle().take(if bytes.is_empty() { 0 } else { MAX_REQUEST }).collect();
        prop_assert!(bytes.is_empty() || answer(&long) != Answer::Wait);
    }
}
