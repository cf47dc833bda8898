use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn request(body: &'static str) -> Request<Bytes> {
    Request::put("/o/x").body(Bytes::from(body)).unwrap()
}

fn network(address: &str) -> HyperNetwork {
    let mut network = HyperNetwork::default();
    network.remote(Peer::from("store-a"), Listener::Store, address);
    network
}

async fn call(network: &HyperNetwork, body: &'static str) -> Result<Response<Bytes>, NetworkError> {
    network.call(&Peer::from("store-a"), Listener::Store, request(body)).await
}

/// Reads one request of these tests.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 1024];
    let count = stream.read(&mut bytes).await.unwrap();
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

/// Comes back once so many open connections wait for the next request.
async fn until_kept(network: &HyperNetwork, count: usize) {
    while network.kept(&Peer::from("store-a")) != count {
        tokio::task::yield_now().await;
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn one_connection_serves_request_after_request() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let network = network(&socket.local_addr().unwrap().to_string());
    let server = async {
        let (mut stream, _) = socket.accept().await.unwrap();
        for _ in 0..3 {
            assert!(read(&mut stream).await.starts_with("PUT /o/x HTTP/1.1\r\n"));
            stream.write_all(OK).await.unwrap();
        }
        stream
    };
    let client = async {
        for _ in 0..3 {
            let response = call(&network, "x").await.unwrap();
            assert_eq!((response.status(), &response.body()[..]), (StatusCode::OK, &b"hi"[..]));
            // The connection is put back by a task of its own.
            until_kept(&network, 1).await;
        }
    };
    // The server's end stays open until the client is done.
    let _both = futures_util::future::join(server, client).await;
}

#[tokio::test]
async fn a_connection_that_the_peer_closed_is_replaced() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let network = network(&socket.local_addr().unwrap().to_string());
    let server = async {
        for _ in 0..2 {
            let (mut stream, _) = socket.accept().await.unwrap();
            read(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            until_kept(&network, 1).await;
        }
    };
    let client = async {
        call(&network, "x").await.unwrap();
        until_kept(&network, 1).await;
        // A close that nobody has seen yet loses what is sent into it: that is `Reset`, and the caller's to judge.
        until_kept(&network, 0).await;
        call(&network, "y").await.unwrap();
        until_kept(&network, 1).await;
    };
    futures_util::future::join(server, client).await;
}

#[tokio::test]
async fn who_breaks_off_is_told_from_who_is_not_there() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let network = network(&socket.local_addr().unwrap().to_string());
    let server = async {
        let (mut stream, _) = socket.accept().await.unwrap();
        read(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi").await.unwrap();
    };
    let (answer, ()) = futures_util::future::join(call(&network, "x"), server).await;
    assert_eq!(answer.unwrap_err(), NetworkError::Reset);
    // Bound, so that nobody else listens there, and not listening.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = self::network(&silent.local_addr().unwrap().to_string());
    assert_eq!(call(&nobody, "x").await.unwrap_err(), NetworkError::Refused);
    let unknown = network.call(&Peer::from("store-b"), Listener::Store, request("x")).await;
    assert_eq!(unknown.unwrap_err(), NetworkError::Refused);
}
