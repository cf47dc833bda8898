//! One proxy: where it listens and connects to, its toxics, its connections.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_node::env::Listener;
use kv_node::ids::{Peer, Region};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::connection::{Active, Connection};
use super::error::ApiError;
use super::metrics::Traffic;
use super::toxic::{Direction, Toxic, ToxicInput};
use crate::lab::Seeds;

/// After a connection could not be taken, such as where descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A proxy as someone asks for it. What is not said stays, or is what Toxiproxy takes.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ProxyInput {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) listen: Option<String>,
    #[serde(default)]
    pub(super) upstream: Option<String>,
    #[serde(default)]
    pub(super) enabled: Option<bool>,
    #[serde(flatten)]
    pub(super) link: Link,
}

/// Whose requests a proxy carries to whom: what faults look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    /// Who calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Peer>,
    /// Who is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<Peer>,
    /// What of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) listener: Option<Listener>,
    /// Where both are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) regions: Option<Regions>,
}

/// The regions of a link's ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Regions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Region>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<Region>,
}

impl Link {
    /// What is said anew, and the rest as it was.
    fn updated(&self, input: &Self) -> Self {
        let input = input.clone();
        Self {
            from: input.from.or_else(|| self.from.clone()),
            to: input.to.or_else(|| self.to.clone()),
            listener: input.listener.or(self.listener),
            regions: input.regions.or_else(|| self.regions.clone()),
        }
    }
}

/// A proxy.
pub(super) struct Proxy {
    name: String,
    listen: String,
    upstream: String,
    pub(super) link: Link,
    /// In the order in which they were added.
    toxics: Vec<Arc<Toxic>>,
    /// Told to every connection. None while the proxy is disabled.
    active: Option<watch::Sender<Active>>,
    traffic: Arc<Traffic>,
    seeds: Seeds,
    /// How many connections there have been.
    connections: Arc<std::sync::atomic::AtomicU64>,
}

impl Proxy {
    /// A proxy that is not enabled yet.
    pub(super) fn new(input: ProxyInput, seeds: &Seeds) -> Self {
        let name = input.name.unwrap_or_default();
        Self {
            seeds: seeds.below(&name),
            name,
            listen: input.listen.unwrap_or_default(),
            upstream: input.upstream.unwrap_or_default(),
            link: input.link,
            toxics: Vec::new(),
            active: None,
            traffic: Arc::default(),
            connections: Arc::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn listen(&self) -> &str {
        &self.listen
    }

    pub(super) fn upstream(&self) -> &str {
        &self.upstream
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.active.is_some()
    }

    /// As the API tells it.
    pub(super) fn told(&self) -> Value {
        let mut told = json!({
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.is_enabled(),
            "toxics": self.told_toxics(),
        });
        let link = serde_json::to_value(&self.link).unwrap_or_default();
        if let (Some(told), Value::Object(link)) = (told.as_object_mut(), link) {
            told.extend(link);
        }
        told
    }

    /// Its toxics, those of the upstream first.
    pub(super) fn told_toxics(&self) -> Vec<Value> {
        let of = |direction| {
            self.toxics.iter().filter(move |toxic| toxic.stream == direction).map(|t| t.told())
        };
        Direction::BOTH.into_iter().flat_map(of).collect()
    }

    pub(super) fn toxics(&self) -> &[Arc<Toxic>] {
        &self.toxics
    }

    pub(super) fn toxic(&self, name: &str) -> Result<&Arc<Toxic>, ApiError> {
        self.toxics.iter().find(|toxic| toxic.name == name).ok_or(ApiError::ToxicNotFound)
    }

    /// Listens, from now on at the address that was found.
    pub(super) async fn start(&mut self) -> Result<(), ApiError> {
        if self.is_enabled() {
            return Ok(());
        }
        let refused = |error: io::Error| {
            let said = match error.kind() {
                io::ErrorKind::AddrInUse => "bind: address already in use".to_owned(),
                _ => error.to_string(),
            };
            ApiError::Listen(self.listen.clone(), said)
        };
        let socket = listen(&self.listen).await.map_err(refused)?;
        self.listen = socket.local_addr().map_err(refused)?.to_string();
        let active = Active { on: true, toxics: self.toxics.clone().into() };
        let (sender, receiver) = watch::channel(active);
        let template = Template {
            upstream: self.upstream.clone(),
            traffic: self.traffic.clone(),
            connections: self.connections.clone(),
        };
        spawn(accept(socket, template, receiver));
        self.active = Some(sender);
        Ok(())
    }

    /// Closes the listener and every connection, and waits until they are closed.
    pub(super) async fn stop(&mut self) {
        if let Some(active) = self.active.take() {
            active.send_modify(|active| active.on = false);
            active.closed().await;
        }
    }

    /// Takes other addresses, another link, or other of what `enabled` says.
    pub(super) async fn update(&mut self, input: ProxyInput) -> Result<(), ApiError> {
        let enabled = input.enabled.unwrap_or(self.is_enabled());
        self.link = self.link.updated(&input.link);
        if self.differs(&input).await {
            self.stop().await;
            self.listen = input.listen.unwrap_or_else(|| self.listen.clone());
            self.upstream = input.upstream.unwrap_or_else(|| self.upstream.clone());
        }
        if enabled {
            return self.start().await;
        }
        self.stop().await;
        Ok(())
    }

    /// Whether it would listen or connect elsewhere.
    pub(super) async fn differs(&self, input: &ProxyInput) -> bool {
        let listens_elsewhere = match &input.listen {
            None => false,
            Some(listen) if *listen == self.listen => false,
            Some(listen) => {
                let found = tokio::net::lookup_host(listen).await;
                found.ok().and_then(|mut found| found.next()).map(|address| address.to_string())
                    != Some(self.listen.clone())
            }
        };
        listens_elsewhere
            || input.upstream.as_ref().is_some_and(|upstream| *upstream != self.upstream)
    }

    /// Adds a toxic at the end of its chain; connections that are open have it from now on.
    pub(super) fn add(&mut self, id: u64, input: ToxicInput) -> Result<Arc<Toxic>, ApiError> {
        let toxic = Arc::new(Toxic::new(id, input, &self.seeds)?);
        if self.toxic(&toxic.name).is_ok() {
            return Err(ApiError::ToxicAlreadyExists);
        }
        self.toxics.push(toxic.clone());
        self.tell();
        Ok(toxic)
    }

    pub(super) fn update_toxic(
        &mut self,
        name: &str,
        input: ToxicInput,
    ) -> Result<Arc<Toxic>, ApiError> {
        let known = self.toxics.iter_mut().find(|toxic| toxic.name == name);
        let known = known.ok_or(ApiError::ToxicNotFound)?;
        *known = Arc::new(known.updated(input)?);
        let toxic = known.clone();
        self.tell();
        Ok(toxic)
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<Arc<Toxic>, ApiError> {
        let at = self.toxics.iter().position(|toxic| toxic.name == name);
        let toxic = self.toxics.remove(at.ok_or(ApiError::ToxicNotFound)?);
        self.tell();
        Ok(toxic)
    }

    /// Removes all toxics; those that there were.
    pub(super) fn clear(&mut self) -> Vec<Arc<Toxic>> {
        let toxics = std::mem::take(&mut self.toxics);
        self.tell();
        toxics
    }

    fn tell(&self) {
        if let Some(active) = &self.active {
            active.send_modify(|active| active.toxics = self.toxics.clone().into());
        }
    }
}

/// What all connections of a proxy have in common.
struct Template {
    upstream: String,
    traffic: Arc<Traffic>,
    connections: Arc<std::sync::atomic::AtomicU64>,
}

async fn accept(socket: TcpListener, template: Template, mut active: watch::Receiver<Active>) {
    loop {
        let accepted = {
            let stopped = pin!(active.wait_for(|active| !active.on));
            match select(stopped, pin!(socket.accept())).await {
                Either::Left(_) => return,
                Either::Right((accepted, _)) => accepted,
            }
        };
        match accepted {
            Ok((client, _)) => {
                let number = &template.connections;
                let connection = Connection {
                    client,
                    number: number.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                    upstream: template.upstream.clone(),
                    active: active.clone(),
                    traffic: template.traffic.clone(),
                };
                spawn(connection.run());
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Opens a listener where Toxiproxy would: without a host on every address, without a port on a free one.
async fn listen(address: &str) -> io::Result<TcpListener> {
    let address = if address.is_empty() { ":0" } else { address };
    let Some(port) = address.strip_prefix(':') else {
        return TcpListener::bind(address).await;
    };
    match TcpListener::bind(format!("[::]:{port}")).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind(format!("0.0.0.0:{port}")).await
        }
        bound => bound,
    }
}

#[expect(clippy::disallowed_methods, reason = "a proxy lives in real time, in no lab")]
pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}
