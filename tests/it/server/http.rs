//! HTTP as the contract has it, spoken with nothing but a socket: no type and no client of the server is used.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) text: String,
}

impl Reply {
    /// The body; `null` for none.
    pub(crate) fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("it must be JSON: {error}\n{self:?}"))
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Checks the status and what the message holds.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, message: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        let said = body["message"].as_str().unwrap_or_default();
        assert!(said.contains(message), "{message:?} is not in {self:?}");
        body
    }

    /// Checks that it succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }
}

/// A caller of a server.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    address: String,
    headers: Vec<(String, String)>,
}

impl Caller {
    /// One without a token.
    pub(crate) fn nobody(url: &str) -> Self {
        let address = url.strip_prefix("http://").expect("plain HTTP");
        Self {
            address: address.to_owned(),
            headers: Vec::new(),
        }
    }

    /// One with a token.
    pub(crate) fn with(url: &str, token: &str) -> Self {
        Self::nobody(url).and("authorization", &format!("Bearer {token}"))
    }

    /// The token it has.
    pub(crate) fn token(&self) -> String {
        let sent = self
            .headers
            .iter()
            .find(|(name, _)| name == "authorization");
        let (_, value) = sent.expect("a caller with a token");
        value.trim_start_matches("Bearer ").to_owned()
    }

    /// The same with one more header.
    pub(crate) fn and(&self, name: &str, value: &str) -> Self {
        let mut more = self.clone();
        more.headers.push((name.to_owned(), value.to_owned()));
        more
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, Some(body))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send("PATCH", path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.attempt(method, path, body).expect("it is answered")
    }

    /// The same where the server may be away, or go away before it has answered.
    pub(crate) fn attempt(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> io::Result<Reply> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.address,
            body.len()
        );
        if !body.is_empty() {
            request.push_str("content-type: application/json\r\n");
        }
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(&body);
        let mut socket = TcpStream::connect(&self.address)?;
        socket.set_read_timeout(Some(Duration::from_secs(120)))?;
        socket.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes)?;
        let text = String::from_utf8(bytes).expect("text");
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        assert!(
            !head
                .to_ascii_lowercase()
                .contains("transfer-encoding: chunked"),
            "these answers have a length"
        );
        let status = head.split_whitespace().nth(1).expect("a status");
        let reply = Reply {
            status: status.parse().expect("a number"),
            head: head.to_owned(),
            text: body.to_owned(),
        };
        match reply.header("content-length").map(str::parse) {
            Some(Ok(length)) if reply.text.len() < length => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            _ => Ok(reply),
        }
    }
}
