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
    /// Send this content; only the head for HEAD.
    Send { content: Content, head_only: bool },
    /// Send an error.
    Refused(Refusal),
}

/// What is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// /metrics: the metrics.
    Metrics(Format),
    /// /status.json: the state, as `get status --json` prints it.
    Status,
}

impl Content {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Metrics(Format::Openmetrics) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
            Self::Metrics(Format::Prometheus) => "text/plain; version=0.0.4; charset=utf-8",
            Self::Status => "application/json",
        }
    }

    /// Returns the whole response with this text.
    pub fn response(self, head_only: bool, text: &str) -> String {
        response("200 OK", self.media_type(), "", text, head_only)
    }
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
            Self::NoSuchPath => ("404 Not Found", "the metrics are at /metrics, the state at /status.json"),
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
    let accepts = |kind: &str| {
        request
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case("accept"))
            .any(|header| String::from_utf8_lossy(header.value).to_ascii_lowercase().contains(kind))
    };
    let content = match path {
        Some("/metrics") => {
            Content::Metrics(match (accepts("application/openmetrics-text"), accepts("text/plain")) {
                (false, true) => Format::Prometheus,
                _ => Format::Openmetrics,
            })
        }
        Some("/status.json") => Content::Status,
        _ => return Answer::Refused(Refusal::NoSuchPath),
    };
    Answer::Send { content, head_only }
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
