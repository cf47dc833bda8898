//! What each product does: a few lines of what its code reads, writes and keeps.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};

use super::kv::Unavailable;
use super::{COOKIE, Dependents};
use crate::api::status::bare;
use crate::env::Listener;

/// How long a query waits for its origin.
const ORIGIN_PATIENCE: Duration = Duration::from_secs(5);

/// What a product cannot answer.
enum Cannot {
    /// It needs the node and does not get what it needs.
    GoOn,
    /// It does not know whether it may: the door stays closed.
    Tell,
}

impl From<Unavailable> for Cannot {
    fn from(Unavailable: Unavailable) -> Self {
        Self::GoOn
    }
}

type Answer = Result<Response<Bytes>, Cannot>;

fn fine() -> Response<Bytes> {
    bare(StatusCode::OK)
}

/// A value that must be there.
fn there(value: Option<Bytes>) -> Result<Bytes, Cannot> {
    value.ok_or(Cannot::GoOn)
}

impl Dependents {
    pub(super) async fn answer(
        &self,
        product: &'static str,
        operation: &'static str,
        subject: &str,
        request: &Request<Bytes>,
    ) -> Response<Bytes> {
        let answer = match (product, operation) {
            ("access" | "dashboard", "login") => self.login(product, subject).await,
            ("access", "certs") => self.reads(product, "access/certs").await,
            ("access", "verify") => self.verify(subject).await,
            ("access" | "warp", "posture") => self.posture(product, subject).await,
            ("ai-gateway", _) => self.reads(product, &format!("ai/gateways/{subject}")).await,
            ("challenge", _) => self.reads(product, "challenge/api.js").await,
            ("dashboard", "flags") => self.reads(product, "dashboard/flags").await,
            ("graphql", _) => self.query(subject).await,
            ("pages", "view") => self.reads(product, &format!("pages/sites/{subject}")).await,
            ("purge", "url") => self.purge_url(subject).await,
            ("waiting-room", "visit") => Ok(self.visit(subject, request).await),
            ("images" | "workers", "upload")
            | ("pages", "deploy")
            | ("waiting-room", "configure")
            | ("warp", "register") => self.writes(product, operation, subject).await,
            // A session that is checked by its signature alone, an image that lies in a cache, a Worker without storage, a
            // purge of everything under a tag, a device that is connected: none of them asks the node for anything.
            _ => Ok(fine()),
        };
        answer.unwrap_or_else(|cannot| {
            bare(match cannot {
                Cannot::GoOn => StatusCode::INTERNAL_SERVER_ERROR,
                Cannot::Tell => StatusCode::FORBIDDEN,
            })
        })
    }

    /// What is served is what lies in the node.
    async fn reads(&self, product: &'static str, key: &str) -> Answer {
        let value = there(self.kv.get(product, key).await?)?;
        Ok(Response::new(value))
    }

    /// What is changed is written to the node.
    async fn writes(&self, product: &'static str, operation: &str, subject: &str) -> Answer {
        self.kv.put(product, &format!("{product}/{operation}/{subject}"), subject).await?;
        Ok(fine())
    }

    /// A login shows a challenge, looks the user up, and keeps a session.
    async fn login(&self, product: &'static str, user: &str) -> Answer {
        there(self.kv.get(product, "challenge/api.js").await?)?;
        there(self.kv.get(product, &format!("access/users/{user}")).await?)?;
        self.kv.put(product, &format!("access/sessions/{user}"), user).await?;
        Ok(fine())
    }

    /// Whether a session is one. What cannot be looked up is none.
    async fn verify(&self, session: &str) -> Answer {
        let session = self.kv.get("access", &format!("access/sessions/{session}")).await;
        session.ok().flatten().map(|_| bare(StatusCode::OK)).ok_or(Cannot::Tell)
    }

    /// Whether a device may in. What cannot be looked up may not.
    async fn posture(&self, product: &'static str, device: &str) -> Answer {
        let device = self.kv.get(product, &format!("access/devices/{device}")).await;
        device.ok().flatten().map(|_| bare(StatusCode::OK)).ok_or(Cannot::Tell)
    }

    /// A zone's configuration says where its copies are; what was read some hours ago is good enough.
    async fn purge_url(&self, zone: &str) -> Answer {
        let key = format!("purge/zones/{zone}");
        self.zones.read((&self.kv, &self.env), "purge", &key).await?;
        Ok(fine())
    }

    /// A room that cannot be read lets everybody in, and gives nobody a cookie.
    async fn visit(&self, room: &str, request: &Request<Bytes>) -> Response<Bytes> {
        let key = format!("room/rooms/{room}");
        let config = self.rooms.read((&self.kv, &self.env), "waiting-room", &key).await;
        let limit = config.ok().and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        let Some(limit) = limit else { return bare(StatusCode::OK) };
        if !request.headers().contains_key(COOKIE) && !self.room.admits(limit, self.env.clock.now())
        {
            return bare(StatusCode::ACCEPTED);
        }
        let mut response = bare(StatusCode::OK);
        response.headers_mut().insert(COOKIE, HeaderValue::from_static("in"));
        response
    }

    /// A customer's Worker in front of an API of its own: the node says which tag an answer must have, and a cache has the answer.
    /// Where the node says nothing the Worker breaks, and what comes goes past it to the origin.
    async fn query(&self, query: &str) -> Answer {
        let tag = self.kv.get("graphql", &format!("graphql/tags/{query}")).await.ok().flatten();
        if let Some(tag) = &tag
            && self.queries.holds(query, tag, self.env.clock.now())
        {
            return Ok(fine());
        }
        let Ok(request) = Request::get("/graphql").body(Bytes::new()) else {
            return Err(Cannot::GoOn);
        };
        let call = self.env.network.call(&self.origin, Listener::Product, request);
        match self.env.timeout(ORIGIN_PATIENCE, call).await {
            Ok(Ok(answer)) => {
                if let Some(tag) = tag
                    && answer.status() == StatusCode::OK
                {
                    self.queries.keep(query, tag, self.env.clock.now());
                }
                Ok(bare(answer.status()))
            }
            Ok(Err(_)) => Ok(bare(StatusCode::BAD_GATEWAY)),
            Err(_) => Ok(bare(StatusCode::GATEWAY_TIMEOUT)),
        }
    }
}
