//! Parses a request of HTTP/1.1 and formats the response.

use super::Format;

#[cfg(test)]
mod tests;

/// Maximum size of a request, bytes; a request of Prometheus has some hundreds.
pub const MAX_REQUEST: usize = 8192;
/// Maximum number of headers.
const MAX_HEADERS: usize = 64;

/// How to respond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The request is not complete yet.
    Wait,
    /// Send the metrics in this format; only the head for HEAD.
    Metrics { format: Format, head_only: bool },
    /// Send an error.
    Refused(Refusal),
}

/// HTTP errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Malformed,
    NoSuchPath,
    Method,
    TooSlow,
    TooLong,
}

impl Refusal {
    /// Status line and explanation.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("400 Bad Request", "not a valid HTTP/1.1 request"),
            Self::NoSuchPath => ("404 Not Found", "the metrics are at /metrics"),
            Self::Method => ("405 Method Not Allowed", "only GET and HEAD are supported"),
            Self::TooSlow => ("408 Request Timeout", "the request did not arrive in time"),
            Self::TooLong => ("431 Request Header Fields Too Large", "the request is too long"),
        }
    }

    /// Returns the whole response.
    pub fn response(self) -> String {
        let more = if self == Self::Method { "Allow: GET, HEAD\r\n" } else { "" };
        let (status, reason) = self.words();
        response(status, "text/plain; charset=utf-8", more, &format!("{reason}\n"), false)
    }
}

/// Returns how to respond to the bytes received so far.
pub fn answer(bytes: &[u8]) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < MAX_REQUEST => return Answer::Wait,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Answer::Refused(Refusal::TooLong);
        }
        Err(_) => return Answer::Refused(Refusal::Malformed),
    }
    let path = request.path.and_then(|path| path.split('?').next());
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Answer::Refused(Refusal::Method),
    };
    if path != Some("/metrics") {
        return Answer::Refused(Refusal::NoSuchPath);
    }
    let accepts = |kind: &str| {
        request
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case("accept"))
            .any(|header| String::from_utf8_lossy(header.value).to_ascii_lowercase().contains(kind))
    };
    let format = match (accepts("application/openmetrics-text"), accepts("text/plain")) {
        (false, true) => Format::Prometheus,
        _ => Format::Openmetrics,
    };
    Answer::Metrics { format, head_only }
}

/// Returns the whole response with the metrics.
pub fn metrics(format: Format, head_only: bool, text: &str) -> String {
    let kind = match format {
        Format::Openmetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
    };
    response("200 OK", kind, "", text, head_only)
}

fn response(status: &str, kind: &str, more: &str, body: &str, head_only: bool) -> String {
    let length = body.len();
    let mut out = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    );
    if !head_only {
        out.push_str(body);
    }
    out
}
