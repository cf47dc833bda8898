//! Requests to services of the live lab.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::{LiveError, Services};

/// Whoever takes longer does not answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// A service's port.
pub(super) struct Door<'a> {
    service: &'a str,
    address: SocketAddr,
}

impl<'a> Door<'a> {
    pub(super) fn of(services: &Services, service: &'a str, port: u16) -> Result<Self, LiveError> {
        Ok(Self { service, address: services.address(service, port)? })
    }

    pub(super) fn wrong(&self, why: impl Into<String>) -> LiveError {
        LiveError::Answer {
            service: self.service.to_owned(),
            address: self.address,
            why: why.into(),
        }
    }

    /// Sends a request and waits for all of a good answer.
    pub(super) fn ask(&self, method: Method, path: &str, body: String) -> Result<Bytes, LiveError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let answered = runtime.map_err(LiveError::Runtime)?.block_on(async {
            tokio::time::timeout(DEADLINE, exchange(self.address, method, path, body)).await
        });
        match answered {
            Ok(Ok((status, body))) if status.is_success() => Ok(body),
            Ok(Ok((status, body))) => {
                Err(self.wrong(format!("{status}: {}", String::from_utf8_lossy(&body).trim())))
            }
            Ok(Err(why)) => Err(self.wrong(why)),
            Err(_) => Err(self.wrong(format!("no answer within {} s", DEADLINE.as_secs()))),
        }
    }

    pub(super) fn get(&self, path: &str) -> Result<Bytes, LiveError> {
        self.ask(Method::GET, path, String::new())
    }

    pub(super) fn json(&self, path: &str) -> Result<Value, LiveError> {
        serde_json::from_slice(&self.get(path)?).map_err(|error| self.wrong(error.to_string()))
    }
}

async fn exchange(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: String,
) -> Result<(StatusCode, Bytes), String> {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let request = Request::builder().method(method).uri(format!("http://{address}{path}"));
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
    let why = |error: hyper_util::client::legacy::Error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let (parts, body) = client.request(request).await.map_err(why)?.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    Ok((parts.status, body.to_bytes()))
}
