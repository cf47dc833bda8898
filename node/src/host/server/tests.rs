use hyper::ext::ReasonPhrase;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::limits::HEADERS_MAX;
use super::*;

/// A server on a port of its own, and a connection to it.
async fn connected(kind: Listener, limits: ServerLimits, service: Service) -> (Server, TcpStream) {
    let socket = bind("test", "127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let server = Server::new(limits);
    server.serve(kind, socket, service);
    (server, TcpStream::connect(address).await.unwrap())
}

/// Answers with the names of a request's headers, or with the length of its body where it has one.
fn echo() -> Service {
    Arc::new(|request: Request<Bytes>| async move {
        if !request.body().is_empty() {
            return Response::new(request.body().len().to_string().into());
        }
        let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        Response::new(names.join(",").into())
    })
}

async fn answer(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const SAYS_TOO_MUCH: &str = "GET / HTTP/1.1\r\nhost: h\r\nx-version: 1\r\nx-meta: m\r\nx-relapse-auth: a\r\n\
                             x-relapse-tier: t\r\nx-relapse-batch: b\r\nx-relapse-later: l\r\n\
                             traceparent: p\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn customers_cannot_say_what_nodes_tell_each_other() {
    for kind in [Listener::Rest, Listener::Binding] {
        let (_server, mut stream) = connected(kind, ServerLimits::default(), echo()).await;
        let answer = answer(&mut stream, SAYS_TOO_MUCH).await;
        assert!(answer.ends_with("\r\n\r\nconnection,host,traceparent"), "{answer}");
    }
    let (_server, mut stream) = connected(Listener::Tier, ServerLimits::default(), echo()).await;
    let answer = answer(&mut stream, SAYS_TOO_MUCH).await;
    assert!(
        answer.ends_with(
            "x-meta,x-relapse-auth,x-relapse-batch,x-relapse-later,x-relapse-tier,x-version"
        ),
        "{answer}"
    );
}

#[tokio::test]
async fn the_words_behind_the_status_are_the_nodes() {
    let service: Service = Arc::new(|_: Request<Bytes>| async {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.extensions_mut().insert(ReasonPhrase::from_static(b"Key is too long"));
        response
    });
    let (_server, mut stream) =
        connected(Listener::Binding, ServerLimits::default(), service).await;
    let request = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let answer = answer(&mut stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 400 Key is too long\r\n"), "{answer}");
}

#[tokio::test]
async fn a_hundred_headers_are_read_and_one_more_is_not() {
    for (more, status) in [(0, "200"), (1, "431")] {
        let (_server, mut stream) =
            connected(Listener::Rest, ServerLimits::default(), echo()).await;
        let headers = "a: b\r\n".repeat(HEADERS_MAX + more - 2);
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n");
        let answer = answer(&mut stream, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_400() {
    let (_server, mut stream) = connected(Listener::Rest, ServerLimits::default(), echo()).await;
    let answer = answer(&mut stream, "GET\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_body_waits_for_room_and_is_then_refused() {
    let limits = ServerLimits { held_bytes: 64 << 10, held_wait_ms: 100, ..Default::default() };
    let (server, mut first) = connected(Listener::Rest, limits, echo()).await;
    let mut second = TcpStream::connect(first.peer_addr().unwrap()).await.unwrap();
    let head = format!("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", 60 << 10);
    first.write_all(head.as_bytes()).await.unwrap();
    while server.bodies.free() > 4 << 10 {
        tokio::task::yield_now().await;
    }
    let refused = answer(&mut second, &head).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1"), "{refused}");

    first.write_all(&vec![b'x'; 60 << 10]).await.unwrap();
    let mut taken = [0; 12];
    first.read_exact(&mut taken).await.unwrap();
    assert_eq!(&taken, b"HTTP/1.1 200");
    assert_eq!(server.bodies.free(), 64 << 10, "room is given back");
}

#[tokio::test]
async fn a_chunked_body_takes_room_as_it_grows() {
    let limits = ServerLimits { held_bytes: 1 << 20, held_wait_ms: 100, ..Default::default() };
    let (server, mut stream) = connected(Listener::Rest, limits, echo()).await;
    let head =
        "PUT / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..10 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let answer = answer(&mut stream, "0\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\n655360"), "{answer}");
    assert_eq!(server.bodies.free(), 1 << 20, "room is given back");
}

#[tokio::test]
async fn a_connection_too_many_is_answered_503_and_peers_still_get_in() {
    let limits = ServerLimits { connections: 1, ..ServerLimits::default() };
    let (server, mut first) = connected(Listener::Rest, limits, echo()).await;
    let socket = bind("test", "127.0.0.1:0").await.unwrap();
    let admin = socket.local_addr().unwrap();
    server.serve(Listener::Admin, socket, echo());
    // The first has its place for certain once it is answered.
    first.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    first.read_exact(&mut [0; 12]).await.unwrap();
    let mut second = TcpStream::connect(first.peer_addr().unwrap()).await.unwrap();
    let mut refused = String::new();
    second.read_to_string(&mut refused).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let mut peer = TcpStream::connect(admin).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    assert!(answer(&mut peer, request).await.starts_with("HTTP/1.1 200 "));
}
