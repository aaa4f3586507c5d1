//! What is tried again and what never is, against a server on loopback that answers as it is told.

use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What a server answers to one request: a status line and headers, or that it hangs up.
#[derive(Clone, Copy)]
enum Says {
    Status(&'static str),
    HangsUp,
}

/// No content, and nothing to wait for.
const DONE: Says = Says::Status("204 No Content");
/// Busy, and free again at once.
const BUSY: Says = Says::Status("503 Service Unavailable\r\nretry-after: 0");

/// A server that says these things in turn, and keeps the requests that it got.
async fn server(says: &[Says]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let got: Arc<Mutex<Vec<String>>> = Arc::default();
    let (keeps, says) = (Arc::clone(&got), says.to_vec());
    tokio::spawn(async move {
        for say in says {
            let (mut socket, _) = listener.accept().await.expect("a caller");
            let mut bytes = vec![0; 64 * 1024];
            let mut length = 0;
            while !is_whole(&bytes[..length]) {
                length += socket.read(&mut bytes[length..]).await.expect("a request");
            }
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            keeps.lock().expect("the lock").push(text);
            if let Says::Status(line) = say {
                let answer = format!("HTTP/1.1 {line}\r\nconnection: close\r\n\r\n");
                socket
                    .write_all(answer.as_bytes())
                    .await
                    .expect("it is sent");
            }
        }
    });
    (url, got)
}

/// Whether a request is there with its body.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().expect("a number"));
    body.len() >= length
}

/// Sends one request to a server that says these things; returns the status that came out, and the requests.
async fn sent(
    method: Method,
    headers: &[(&str, &str)],
    says: &[Says],
) -> (Option<StatusCode>, Vec<String>) {
    let (url, got) = server(says).await;
    let remote = Remote::new(&url, None).expect("a client");
    let mut request = Request::builder().method(method).uri("/orgs/o/projects");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::from_static(b"{}")).expect("a request");
    let answer = remote.send(request).await;
    let got = got.lock().expect("the lock").clone();
    (answer.ok().map(|answer| answer.status()), got)
}

const KEY: (&str, &str) = ("idempotency-key", "0190f3a2");

#[tokio::test]
async fn what_changes_nothing_twice_is_tried_again_until_it_is_answered() {
    for status in [
        "429 Too Many Requests",
        "502 Bad Gateway",
        "504 Gateway Timeout",
    ] {
        let line: &'static str = format!("{status}\r\nretry-after: 0").leak();
        let says = [BUSY, Says::Status(line), Says::HangsUp, DONE];
        for (method, headers) in [
            (Method::GET, &[][..]),
            (Method::PUT, &[]),
            (Method::DELETE, &[]),
            (Method::POST, &[KEY]),
        ] {
            let (status, got) = sent(method.clone(), headers, &says).await;
            assert_eq!(status, Some(StatusCode::NO_CONTENT), "{method} {line}");
            assert_eq!(got.len(), says.len(), "{method} {line}");
            assert!(
                got.iter().all(|request| *request == got[0]),
                "the same, with the same key: {got:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_never_sent_again_without_its_key() {
    for method in [Method::POST, Method::PATCH] {
        let (status, got) = sent(method.clone(), &[], &[BUSY, DONE]).await;
        assert_eq!(status, Some(StatusCode::SERVICE_UNAVAILABLE), "{method}");
        assert_eq!(got.len(), 1, "{method}");
        let (status, got) = sent(method.clone(), &[], &[Says::HangsUp, DONE]).await;
        assert_eq!((status, got.len()), (None, 1), "{method}");
    }
}

#[tokio::test]
async fn it_gives_up_after_a_few_tries_and_other_answers_are_answers() {
    let (status, got) = sent(Method::GET, &[], &[BUSY; 6]).await;
    assert_eq!(status, Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(got.len(), usize::try_from(TRIES).expect("a few"));
    for line in [
        "500 Internal Server Error",
        "507 Insufficient Storage",
        "409 Conflict",
    ] {
        let (status, got) = sent(Method::GET, &[], &[Says::Status(line), DONE]).await;
        let status = status.expect("an answer").as_str().to_owned();
        assert_eq!((&line[..3], got.len()), (status.as_str(), 1));
    }
}

#[tokio::test]
async fn what_was_not_even_connected_to_may_be_tried_again_whatever_it_is() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = nobody.local_addr().expect("an address");
    drop(nobody);
    let remote = Remote::new(&format!("http://{at}"), None).expect("a client");
    let request = Request::post("/orgs/o/projects").body(Bytes::new());
    let sending = tokio::spawn(async move { remote.send(request.expect("a request")).await });
    // It may not have been tried yet, and then it is not tried again; either way it arrives.
    let listener = TcpListener::bind(at).await.expect("the same port");
    let (mut socket, _) = listener.accept().await.expect("it comes");
    let mut some = [0; 1024];
    let read = socket.read(&mut some).await.expect("a request");
    assert!(read > 0);
    socket
        .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        .await
        .expect("it is sent");
    let answer = sending.await.expect("it ends").expect("an answer");
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

#[test]
fn the_wait_that_a_server_asks_for_is_kept_where_it_is_not_too_long() {
    let pause = Duration::from_millis(250);
    // 1994-11-15T12:45:26Z.
    let now_us = 784_903_526_000_000;
    for (status, asked, expected) in [
        (503, None, Some(pause)),
        (429, Some("7"), Some(Duration::from_secs(7))),
        (502, Some(" 0 "), Some(Duration::ZERO)),
        (504, Some("120"), Some(Duration::from_secs(120))),
        (503, Some("121"), None),
        (503, Some("soon"), Some(pause)),
        (
            503,
            Some("Tue, 15 Nov 1994 12:45:29 GMT"),
            Some(Duration::from_secs(3)),
        ),
        (
            503,
            Some("Tue, 15 Nov 1994 12:45:20 GMT"),
            Some(Duration::ZERO),
        ),
        (503, Some("Wed, 16 Nov 1994 12:45:26 GMT"), None),
        (500, Some("1"), None),
        (200, None, None),
    ] {
        let headers: HeaderMap = asked
            .iter()
            .map(|asked| (header::RETRY_AFTER, HeaderValue::from_static(asked)))
            .collect();
        let status = StatusCode::from_u16(status).expect("a status");
        assert_eq!(
            wait(status, &headers, pause, now_us),
            expected,
            "{status} {asked:?}"
        );
    }
}
