//! Whatever is at a host, answering.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use kv_node::api::admin::METRICS;
use kv_node::env::{Listener, NetworkError};
use tokio::sync::oneshot;

use super::{Arc, Host, HostKind, Service, Wire};
use crate::lab::cost;

impl Wire {
    /// Lets whatever is at a host answer. What it has begun to answer it ends, whether or not anybody waits.
    pub(super) async fn answer(
        self: &Arc<Self>,
        (from, to): (usize, usize),
        listener: Listener,
        service: Service,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, NetworkError> {
        let host = &self.hosts[to];
        Ok(match service {
            Service::Store(store) => store.serve(request),
            Service::S3(store) => store.serve(request).await,
            Service::Control(control) => {
                self.to_its_end(host, async move { control.serve(&request).await }).await?
            }
            Service::Products(products) => {
                self.to_its_end(host, async move { products.serve(&request).await }).await?
            }
            Service::Origin(origin) => {
                self.to_its_end(host, async move { origin.serve(&request).await }).await?
            }
            Service::Monitor(monitor) => monitor.serve(&request),
            Service::Intake(intake) => cost::of_monitoring(|| intake.serve(&request)),
            // Telling metrics waits for nothing: all of it is done at once, and counted as what monitoring costs.
            Service::Node(node) if listener == Listener::Admin && *request.uri() == *METRICS => {
                let told = cost::of_monitoring(|| node.serve(listener, request).now_or_never());
                told.ok_or(NetworkError::Reset)?
            }
            Service::Node(node) => {
                let (answer, answered) = oneshot::channel();
                let this = self.clone();
                host.tasks.run(async move {
                    let response = node.serve(listener, request).await;
                    this.answered(from, to, listener, &response);
                    // Who no longer waits for the answer need not get it.
                    let _ = answer.send(response);
                });
                // The sender is dropped where the node dies first.
                answered.await.map_err(|_| NetworkError::Reset)?
            }
            Service::Remote(remote) => {
                let (answer, answered) = oneshot::channel();
                let this = self.clone();
                host.tasks.run(async move {
                    let response = remote.call(listener, request).await;
                    if let Ok(response) = &response
                        && this.hosts[to].kind == HostKind::Dc
                    {
                        this.answered(from, to, listener, response);
                    }
                    let _ = answer.send(response);
                });
                answered.await.map_err(|_| NetworkError::Reset)??
            }
        })
    }

    /// Lets a host answer whether or not anybody waits.
    async fn to_its_end(
        &self,
        host: &Host,
        answer: impl Future<Output = Response<Bytes>> + Send + 'static,
    ) -> Result<Response<Bytes>, NetworkError> {
        let (answered, answers) = oneshot::channel();
        host.tasks.run(async move {
            let _ = answered.send(answer.await);
        });
        answers.await.map_err(|_| NetworkError::Reset)
    }
}
