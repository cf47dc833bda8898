//! Stores within this process, in memory or in a directory, and what answers for them.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use kv_store::{DirectoryStore, MemoryStore, Objects, PlainStore, S3Store};

use super::Service;
use super::exit::Failure;

/// How often [`EmbeddedStore::close`] looks whether the last request has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long it waits for that.
const CLOSE: Duration = Duration::from_secs(2);

/// One store. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct EmbeddedStore(Arc<RwLock<Option<Open>>>);

/// What a store that speaks S3 is called by.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) access_key: String,
    pub(super) secret_key: String,
}

/// A store that is not closed, and what it speaks: S3, or the plain protocol.
#[derive(Clone, Debug)]
struct Open {
    objects: Arc<dyn Objects>,
    over_s3: Option<Arc<S3Store>>,
}

impl EmbeddedStore {
    /// Empty, and gone with the process.
    pub(super) fn memory() -> Self {
        Self::new(MemoryStore::new())
    }

    /// What a directory holds; it is made where there is none. Writes are answered once they are on the disk.
    pub(super) fn directory(directory: &Path) -> Result<Self, Failure> {
        let store = DirectoryStore::open(directory);
        store
            .map(Self::new)
            .map_err(|error| Failure::refused(format!("cannot open the store: {error}")))
    }

    fn new(objects: impl Objects) -> Self {
        let open = Open { objects: Arc::new(objects), over_s3: None };
        Self(Arc::new(RwLock::new(Some(open))))
    }

    /// The same store, which speaks S3.
    pub(super) fn over_s3(self, bucket: Bucket) -> Self {
        if let Some(open) = self.0.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let signer = (bucket.access_key, bucket.secret_key);
            let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let store = S3Store::new(open.objects.clone(), signer, &bucket.name, now);
            open.over_s3 = Some(Arc::new(store));
        }
        self
    }

    /// Answers requests. 503 once the store is closed.
    pub(super) fn service(&self) -> Service {
        let this = self.clone();
        Arc::new(move |request: Request<Bytes>| {
            let open = this.0.read().unwrap_or_else(PoisonError::into_inner).clone();
            async move {
                match open {
                    None => bare(StatusCode::SERVICE_UNAVAILABLE),
                    Some(Open { over_s3: Some(store), .. }) => store.serve(request).await,
                    Some(open) => PlainStore::new(open.objects).serve(request).await,
                }
            }
        })
    }

    /// Takes no more requests, lets those under way end, and closes the files.
    pub(super) async fn close(&self) -> Result<(), Failure> {
        let taken = self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Open { objects, over_s3 }) = taken else { return Ok(()) };
        drop(over_s3);
        let ended = async {
            while Arc::strong_count(&objects) > 1 {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Whatever still runs then closes the files when it ends; nothing acknowledged depends on it.
        let _ = tokio::time::timeout(CLOSE, ended).await;
        let closed = tokio::task::spawn_blocking(move || drop(objects)).await;
        closed.map_err(|error| Failure::failed(format!("cannot close the store: {error}")))
    }
}

fn bare(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
