//! Index objects: one beside each value, so that object stores can list. A write puts its own and tidies up after those before
//! it.

use futures_util::future::join_all;

use super::object_store::{StoreError, StoredObject, Written};
use super::replicated::{PUT, Rest, Storage, state_of};
use super::{Found, Sealed, layout};
use crate::ids::Name;
use crate::telemetry::TraceContext;

/// A key has one index object; more are left behind by changes of its expiration, a few at the most.
const INDEX_OBJECTS_MAX: usize = 16;

impl Storage {
    /// Writes a key's index object, for nobody who waits for it.
    pub(super) async fn put_index(
        &self,
        store: usize,
        name: &Name,
        sealed: &Sealed,
        trace: TraceContext,
    ) -> Result<Written, StoreError> {
        let put = self.index_put(store, name, sealed, trace);
        self.ask((store, PUT), &self.nobody, put).await
    }

    pub(super) fn index_put(
        &self,
        store: usize,
        name: &Name,
        sealed: &Sealed,
        trace: TraceContext,
    ) -> Rest {
        let content = StoredObject {
            version: sealed.version,
            meta: String::new(),
            body: bytes::Bytes::new(),
        };
        self.stores[store].store.put(&layout::index_object(name, sealed), content, trace)
    }

    /// Removes the index objects that a write left behind: those of the values before it, or, where a newer write had won,
    /// its own.
    pub(super) async fn tidy(
        &self,
        store: usize,
        name: &Name,
        (written, state): (Written, &Found),
        trace: TraceContext,
    ) {
        match written {
            Written::Stored => self.keep_index(store, name, state).await,
            Written::NotNewer => self.mend_index(store, name, trace).await,
        }
    }

    /// Makes a store's index say what its value object says.
    pub(super) async fn mend_index(&self, store: usize, name: &Name, trace: TraceContext) {
        let get = self.stores[store].store.get(&layout::value_object(name), trace);
        let get = self.ask((store, "get"), &self.nobody, get);
        let Ok(state) = state_of(get.await) else { return };
        if let Found::Value(sealed) = &state
            && self.put_index(store, name, sealed, trace).await.is_err()
        {
            return;
        }
        self.keep_index(store, name, &state).await;
    }

    /// Removes all index objects of a key in a store but the one that its state has, and but those of newer writes, which may
    /// be under way.
    async fn keep_index(&self, store: usize, name: &Name, state: &Found) {
        let keep = match state {
            Found::Value(sealed) => Some(layout::index_object(name, sealed)),
            Found::Absent(_) => None,
        };
        let list =
            self.stores[store].store.list(&layout::index_prefix(name), "", INDEX_OBJECTS_MAX);
        let Ok(present) = self.ask((store, "list"), &self.nobody, list).await else { return };
        let left_over = present.iter().filter(|object| Some(*object) != keep.as_ref());
        let up_to = state.version();
        join_all(left_over.map(|object| self.ask_delete(store, object, up_to))).await;
    }
}
