//! The process: one listener for the API, and the proxies that it makes.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::api::{self, Shared};
use super::collection::Proxies;
use super::one::spawn;

/// After a connection could not be taken, such as where descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How long a client of the API may take for a request's head.
const HEAD_S: Duration = Duration::from_secs(15);

/// Why proxies cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The API's address is not free, or none of this machine.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, io::Error),
    /// The configuration is not one of proxies.
    #[error("{0}")]
    Config(String),
}

/// Proxies and their API, not served yet.
pub struct Server {
    socket: TcpListener,
    address: SocketAddr,
    proxies: Shared,
}

impl Server {
    /// Opens the API's listener. All chance comes from the seed.
    pub async fn bind(listen: &str, seed: u64) -> Result<Self, ServerError> {
        let refused = |error| ServerError::Listen(listen.to_owned(), error);
        let socket = TcpListener::bind(listen).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Self { socket, address, proxies: Arc::new(Mutex::new(Proxies::new(seed))) })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes the proxies of a configuration: what `POST /populate` takes. A line for each of them.
    pub async fn populate(&self, config: &[u8]) -> Result<Vec<String>, ServerError> {
        let refused = |error: super::error::ApiError| ServerError::Config(error.to_string());
        let inputs = api::read_proxies(config).map_err(refused)?;
        let mut proxies = self.proxies.lock().await;
        proxies.populate(inputs).await.map_err(|(error, _)| refused(error))?;
        Ok(proxies
            .all()
            .map(|proxy| {
                let off = if proxy.is_enabled() { "" } else { " (disabled)" };
                format!("{} {} -> {}{off}", proxy.name(), proxy.listen(), proxy.upstream())
            })
            .collect())
    }

    /// Serves the API until `stop` completes, then closes every listener and every connection.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { socket, proxies, .. } = self;
        let mut stop = pin!(stop);
        loop {
            match select(stop.as_mut(), pin!(socket.accept())).await {
                Either::Left(_) => break,
                Either::Right((Ok((stream, _)), _)) => spawn(connection(stream, proxies.clone())),
                Either::Right((Err(_), _)) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
        proxies.lock().await.stop().await;
    }
}

async fn connection(stream: TcpStream, proxies: Shared) {
    // A socket that cannot do it still works.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let proxies = proxies.clone();
        async move { Ok::<_, Infallible>(api::serve(proxies, request).await) }
    });
    // A client that breaks off or sends no HTTP has nobody to tell it to.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_S)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
