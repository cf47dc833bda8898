//! All proxies of a process, and the faults that were installed on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::ApiError;
use super::faults::Fault;
use super::metrics::Past;
use super::one::{Proxy, ProxyInput};
use super::toxic::{Toxic, ToxicInput};
use crate::lab::Seeds;

/// All proxies, by name.
pub(super) struct Proxies {
    by_name: BTreeMap<String, Proxy>,
    pub(super) faults: BTreeMap<String, Fault>,
    seeds: Seeds,
    next_id: u64,
    past: Past,
}

impl Proxies {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            by_name: BTreeMap::new(),
            faults: BTreeMap::new(),
            seeds: Seeds::new(seed).below("proxy"),
            next_id: 0,
            past: Past::default(),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Proxy> {
        self.by_name.values()
    }

    pub(super) fn past(&self) -> &Past {
        &self.past
    }

    /// As the API tells them.
    pub(super) fn told(&self) -> Value {
        self.by_name.iter().map(|(name, proxy)| (name.clone(), proxy.told())).collect()
    }

    pub(super) fn get(&self, name: &str) -> Result<&Proxy, ApiError> {
        self.by_name.get(name).ok_or(ApiError::ProxyNotFound)
    }

    fn get_mut(&mut self, name: &str) -> Result<&mut Proxy, ApiError> {
        self.by_name.get_mut(name).ok_or(ApiError::ProxyNotFound)
    }

    /// Adds a proxy, enabled unless it says otherwise.
    pub(super) async fn create(&mut self, input: ProxyInput) -> Result<Value, ApiError> {
        check(&input, "")?;
        let name = input.name.clone().unwrap_or_default();
        if self.by_name.contains_key(&name) {
            return Err(ApiError::ProxyAlreadyExists);
        }
        let starts = input.enabled.unwrap_or(true);
        let mut proxy = Proxy::new(input, &self.seeds);
        if starts {
            proxy.start().await?;
        }
        let told = proxy.told();
        self.by_name.insert(name, proxy);
        Ok(told)
    }

    /// Adds proxies, in place of those with their names; one that is the same already stays as it is. With an error come
    /// those that were added before it.
    pub(super) async fn populate(
        &mut self,
        inputs: Vec<ProxyInput>,
    ) -> Result<Value, (ApiError, Value)> {
        for (at, input) in inputs.iter().enumerate() {
            check(input, &format!(" at proxy {}", at + 1)).map_err(|error| (error, Value::Null))?;
        }
        let mut added = Vec::new();
        for input in inputs {
            match self.add_or_replace(input).await {
                Ok(told) => added.push(told),
                Err(error) => return Err((error, added.into())),
            }
        }
        Ok(json!({"proxies": added}))
    }

    async fn add_or_replace(&mut self, input: ProxyInput) -> Result<Value, ApiError> {
        let name = input.name.clone().unwrap_or_default();
        if let Some(known) = self.by_name.get_mut(&name) {
            let input = ProxyInput {
                listen: Some(input.listen.clone().unwrap_or_default()),
                ..input.clone()
            };
            if !known.differs(&input).await {
                known.link = input.link;
                return Ok(known.told());
            }
            known.stop().await;
        }
        let starts = input.enabled.unwrap_or(true);
        let mut proxy = Proxy::new(input, &self.seeds);
        if starts {
            proxy.start().await?;
        }
        let told = proxy.told();
        if let Some(replaced) = self.by_name.insert(name.clone(), proxy) {
            self.gone(&name, replaced.toxics());
        }
        Ok(told)
    }

    pub(super) async fn update(
        &mut self,
        name: &str,
        input: ProxyInput,
    ) -> Result<Value, ApiError> {
        let proxy = self.get_mut(name)?;
        proxy.update(input).await?;
        Ok(proxy.told())
    }

    pub(super) async fn delete(&mut self, name: &str) -> Result<(), ApiError> {
        let mut proxy = self.by_name.remove(name).ok_or(ApiError::ProxyNotFound)?;
        proxy.stop().await;
        self.gone(name, proxy.toxics());
        Ok(())
    }

    /// Enables every proxy and removes every toxic, and with them every fault.
    pub(super) async fn reset(&mut self) -> Result<(), ApiError> {
        self.faults.clear();
        let names: Vec<String> = self.by_name.keys().cloned().collect();
        for name in names {
            let proxy = self.get_mut(&name)?;
            proxy.start().await?;
            let toxics = proxy.clear();
            self.gone(&name, &toxics);
        }
        Ok(())
    }

    /// Closes everything.
    pub(super) async fn stop(&mut self) {
        for proxy in self.by_name.values_mut() {
            proxy.stop().await;
        }
    }

    pub(super) fn add_toxic(
        &mut self,
        proxy: &str,
        input: ToxicInput,
    ) -> Result<Arc<Toxic>, ApiError> {
        let id = self.next_id();
        self.get_mut(proxy)?.add(id, input)
    }

    /// A number that nothing else has.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn update_toxic(
        &mut self,
        proxy: &str,
        toxic: &str,
        input: ToxicInput,
    ) -> Result<Arc<Toxic>, ApiError> {
        self.get_mut(proxy)?.update_toxic(toxic, input)
    }

    pub(super) fn remove_toxic(&mut self, proxy: &str, toxic: &str) -> Result<(), ApiError> {
        let toxic = self.get_mut(proxy)?.remove(toxic)?;
        self.gone(proxy, &[toxic]);
        Ok(())
    }

    fn gone(&mut self, proxy: &str, toxics: &[Arc<Toxic>]) {
        for toxic in toxics {
            self.past.keep(proxy, toxic);
        }
    }
}

fn check(input: &ProxyInput, place: &str) -> Result<(), ApiError> {
    for (field, said) in [("name", &input.name), ("upstream", &input.upstream)] {
        if said.as_ref().is_none_or(String::is_empty) {
            return Err(ApiError::MissingField(format!("{field}{place}")));
        }
    }
    Ok(())
}
