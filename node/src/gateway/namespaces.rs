//! Namespaces: those that are configured, and those that customers create.
//!
//! What a customer creates are two keys of a namespace that no customer can name, [`REGISTRY`]: `<account>/<id>` with a title,
//! and `@/<id>` with the account, for bindings, which know no account. So they are stored, repaired and cached like
//! everything else, and reach other data centers within the same minute.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Admitted, Gateway, GatewayError, ListAsk, limits};
use crate::cache::Ttl;
use crate::ids::{Account, Name, Namespace};
use crate::worker::Ctx;

/// Where created namespaces are kept. It has hyphens, so it is no id that a customer could have.
const REGISTRY: &str = "relapse-namespaces";
/// Characters of a title.
const TITLE_MAX: usize = 512;
/// Namespaces that one account may create.
const NAMESPACES_MAX: usize = 1_000;
const TTL: Ttl = Ttl(Duration::from_mins(1));

/// A namespace that exists and is the caller's: every operation on keys begins with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenNamespace {
    pub(super) id: Namespace,
    key_bytes_max: usize,
}

/// A key that may be used, in a namespace that exists and is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenKey(pub(super) Name);

impl OpenNamespace {
    /// A key of this namespace, checked against the limits of names.
    pub fn key(&self, key: &str) -> Result<OpenKey, GatewayError> {
        limits::key(self.key_bytes_max, key)?;
        Ok(OpenKey(Name::new(self.id.clone(), key)))
    }

    /// The same, for a name that was made already.
    pub fn name(&self, name: Name) -> Result<OpenKey, GatewayError> {
        debug_assert_eq!(name.namespace, self.id);
        limits::key(self.key_bytes_max, &name.key)?;
        Ok(OpenKey(name))
    }
}

impl OpenKey {
    /// The name, for what is noted of a request.
    pub fn noted(&self) -> Name {
        self.0.clone()
    }
}

/// A namespace as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// 32 hexadecimal digits where a customer created it.
    pub id: Namespace,
    /// Its title.
    pub title: String,
    /// Where its values must stay. Kept and shown; nothing is done about it.
    pub jurisdiction: Option<String>,
}

/// By what namespaces are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By id.
    #[default]
    Id,
    /// By title.
    Title,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jurisdiction: Option<String>,
}

fn registered(account: &Account, id: &Namespace) -> Name {
    Name::new(Namespace::from(REGISTRY), &format!("{account}/{id}"))
}

fn owned(id: &Namespace) -> Name {
    Name::new(Namespace::from(REGISTRY), &format!("@/{id}"))
}

/// 32 hexadecimal digits: the form of ids that are given out.
fn is_id(id: &Namespace) -> bool {
    id.as_str().len() == 32
        && id.as_str().bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Gateway {
    /// Opens a namespace for an account.
    ///
    /// [`GatewayError::NoSuchNamespace`]: there is none, or it is another account's. [`GatewayError::NoNamespaceId`]: there
    /// cannot be one of that id.
    pub async fn open(
        &self,
        ctx: &Arc<Ctx>,
        account: &str,
        id: &Namespace,
    ) -> Result<OpenNamespace, GatewayError> {
        match self.namespaces.about(id).map(|about| &about.account) {
            Some(Some(owner)) if owner.as_str() != account => {
                return Err(GatewayError::NoSuchNamespace);
            }
            Some(_) => {}
            None => {
                Box::pin(self.entry(ctx, &account.into(), id)).await?;
            }
        }
        // The caller's own text: counting its holders in the configured one would make all requests wait for each other.
        Ok(OpenNamespace { id: id.clone(), key_bytes_max: self.limits.key_bytes_max })
    }

    /// Whose a namespace is; the account without a name where anybody may use it.
    pub async fn account_of(
        &self,
        ctx: &Arc<Ctx>,
        id: &Namespace,
    ) -> Result<Account, GatewayError> {
        if let Some(about) = self.namespaces.about(id) {
            return Ok(about.account.clone().unwrap_or_else(|| Account::from("")));
        }
        if !is_id(id) {
            return Err(GatewayError::NoNamespaceId { length: id.as_str().len() });
        }
        let (value, _) = self.read(ctx, &owned(id), TTL).await?;
        let value = value.ok_or(GatewayError::NoSuchNamespace)?;
        let account = std::str::from_utf8(&value.body).map_err(|_| GatewayError::Sealing)?;
        Ok(Account::from(account))
    }

    /// A namespace of an account.
    pub async fn namespace(
        &self,
        ctx: &Arc<Ctx>,
        account: &Account,
        id: &Namespace,
    ) -> Result<NamespaceInfo, GatewayError> {
        if let Some(known) = self.configured(account).find(|known| known.id == *id) {
            return Ok(known);
        }
        let Entry { title, jurisdiction } = self.entry(ctx, account, id).await?;
        Ok(NamespaceInfo { id: id.clone(), title, jurisdiction })
    }

    /// All namespaces of an account.
    pub async fn namespaces(
        &self,
        ctx: &Arc<Ctx>,
        account: &Account,
        order: Order,
    ) -> Result<Vec<NamespaceInfo>, GatewayError> {
        let _stage = ctx.trace.stage("gateway.namespaces");
        let mut all: Vec<NamespaceInfo> = self.configured(account).collect();
        let registry = OpenNamespace {
            id: Namespace::from(REGISTRY),
            key_bytes_max: self.limits.key_bytes_max,
        };
        let prefix: Arc<str> = format!("{account}/").into();
        let mut ask =
            ListAsk { prefix: prefix.clone(), cursor: None, limit: limits::LIST_KEYS_MAX };
        loop {
            let page = self.list_fresh(ctx, &registry, &ask).await?;
            for key in page.keys {
                let Some(id) = key.name.strip_prefix(&*prefix).map(Namespace::from) else {
                    continue;
                };
                match self.entry(ctx, account, &id).await {
                    Ok(Entry { title, jurisdiction }) => {
                        all.push(NamespaceInfo { id, title, jurisdiction });
                    }
                    // Deleted a moment ago.
                    Err(GatewayError::NoSuchNamespace | GatewayError::NoNamespaceId { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            ask.cursor = page.cursor;
            if ask.cursor.is_none() {
                break;
            }
        }
        match order {
            Order::Id => all.sort_by(|a, b| a.id.cmp(&b.id)),
            Order::Title => all.sort_by(|a, b| a.title.cmp(&b.title).then(a.id.cmp(&b.id))),
        }
        Ok(all)
    }

    /// Creates a namespace. Two that are created at the same moment in two places may get the same title: this is an
    /// eventually consistent store.
    pub async fn create_namespace(
        &self,
        ctx: &Arc<Ctx>,
        account: &Account,
        title: String,
        jurisdiction: Option<String>,
    ) -> Result<NamespaceInfo, GatewayError> {
        let existing = self.checked_title(ctx, account, &title, None).await?;
        if existing >= NAMESPACES_MAX {
            return Err(GatewayError::TooManyNamespaces { limit: NAMESPACES_MAX });
        }
        let bits = (self.namespace_ids.bits(), self.namespace_ids.bits());
        let id = Namespace::from(format!("{:016x}{:016x}", bits.0, bits.1));
        let entry = Entry { title: title.clone(), jurisdiction: jurisdiction.clone() };
        let body = Bytes::copy_from_slice(account.as_str().as_bytes());
        let admitted = Admitted { body, expiration_s: None, metadata: None };
        self.write(ctx, &owned(&id), admitted).await?;
        self.register(ctx, account, &id, &entry).await?;
        Ok(NamespaceInfo { id, title, jurisdiction })
    }

    /// Gives a namespace another title. One that is configured keeps its own.
    pub async fn rename_namespace(
        &self,
        ctx: &Arc<Ctx>,
        account: &Account,
        id: &Namespace,
        title: String,
    ) -> Result<NamespaceInfo, GatewayError> {
        self.changeable(id)?;
        let Entry { jurisdiction, .. } = self.entry(ctx, account, id).await?;
        self.checked_title(ctx, account, &title, Some(id)).await?;
        let entry = Entry { title: title.clone(), jurisdiction: jurisdiction.clone() };
        self.register(ctx, account, id, &entry).await?;
        Ok(NamespaceInfo { id: id.clone(), title, jurisdiction })
    }

    /// Deletes a namespace. Its id is never given out again, so nobody reaches its values any more.
    pub async fn delete_namespace(
        &self,
        ctx: &Arc<Ctx>,
        account: &Account,
        id: &Namespace,
    ) -> Result<(), GatewayError> {
        self.changeable(id)?;
        self.entry(ctx, account, id).await?;
        self.erase(ctx, &registered(account, id)).await?;
        self.erase(ctx, &owned(id)).await
    }

    fn configured(&self, account: &Account) -> impl Iterator<Item = NamespaceInfo> {
        let mine =
            move |owner: &Option<Account>| owner.as_ref().is_none_or(|owner| owner == account);
        self.namespaces.iter().filter(move |(_, about)| mine(&about.account)).map(|(id, about)| {
            NamespaceInfo { id: id.clone(), title: about.title.clone(), jurisdiction: None }
        })
    }

    fn changeable(&self, id: &Namespace) -> Result<(), GatewayError> {
        match self.namespaces.about(id) {
            Some(_) => Err(GatewayError::NamespaceConfigured),
            None => Ok(()),
        }
    }

    async fn entry(
        &self,
        ctx: &Arc<Ctx>,
        account: &Account,
        id: &Namespace,
    ) -> Result<Entry, GatewayError> {
        if !is_id(id) {
            return Err(GatewayError::NoNamespaceId { length: id.as_str().len() });
        }
        let (value, _) = self.read(ctx, &registered(account, id), TTL).await?;
        let value = value.ok_or(GatewayError::NoSuchNamespace)?;
        serde_json::from_slice(&value.body).map_err(|_| GatewayError::Sealing)
    }

    async fn register(
        &self,
        ctx: &Arc<Ctx>,
        account: &Account,
        id: &Namespace,
        entry: &Entry,
    ) -> Result<(), GatewayError> {
        let body = serde_json::to_vec(entry).map(Bytes::from).map_err(|_| GatewayError::Sealing)?;
        let admitted = Admitted { body, expiration_s: None, metadata: None };
        self.write(ctx, &registered(account, id), admitted).await
    }

    /// Checks a title; how many namespaces the account has.
    async fn checked_title(
        &self,
        ctx: &Arc<Ctx>,
        account: &Account,
        title: &str,
        but: Option<&Namespace>,
    ) -> Result<usize, GatewayError> {
        if title.is_empty() {
            return Err(GatewayError::NoTitle);
        }
        if title.chars().count() > TITLE_MAX {
            return Err(GatewayError::TitleTooLong { limit: TITLE_MAX });
        }
        let all = self.namespaces(ctx, account, Order::Id).await?;
        if all.iter().any(|other| other.title == title && Some(&other.id) != but) {
            return Err(GatewayError::TitleTaken);
        }
        Ok(all.len())
    }
}
