//! Ports that answer over the network, or could.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use super::Injector;
use crate::domain::{Canary, Probe, SwitchState};
use crate::policy::credentials::{CredentialPolicy, StorePolicy};
use crate::ports::{Fault, Guard, GuardReport, Issuer, PauseSwitch, SecretStore, Service};

/// A port behind the injector, under the name that plans give it.
struct Faulty<P: ?Sized> {
    injector: Arc<Injector>,
    place: String,
    inner: Arc<P>,
}

fn faulty<P: ?Sized>(injector: &Arc<Injector>, place: String, inner: Arc<P>) -> Arc<Faulty<P>> {
    Arc::new(Faulty { injector: Arc::clone(injector), place, inner })
}

pub(super) fn store(injector: &Arc<Injector>, place: &str, inner: Arc<dyn SecretStore>) -> Arc<dyn SecretStore> {
    faulty(injector, place.to_owned(), inner)
}

pub(super) fn issuer(injector: &Arc<Injector>, id: &str, inner: Arc<dyn Issuer>) -> Arc<dyn Issuer> {
    faulty(injector, format!("issuer:{id}"), inner)
}

pub(super) fn switch(injector: &Arc<Injector>, inner: Arc<dyn PauseSwitch>) -> Arc<dyn PauseSwitch> {
    faulty(injector, format!("switch:{}", inner.name()), inner)
}

pub(super) fn service(injector: &Arc<Injector>, inner: Arc<dyn Service>) -> Arc<dyn Service> {
    faulty(injector, format!("service:{}", inner.name()), inner)
}

pub(super) fn guard(injector: &Arc<Injector>, inner: Arc<dyn Guard>) -> Arc<dyn Guard> {
    faulty(injector, "guard".to_owned(), inner)
}

#[async_trait]
impl SecretStore for Faulty<dyn SecretStore> {
    fn describe(&self, slot: &StorePolicy) -> String {
        self.inner.describe(slot)
    }

    async fn read(&self, slot: &StorePolicy) -> Result<Option<SecretString>, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.read(slot).await
    }

    async fn write(&self, slot: &StorePolicy, value: &SecretString, token: &str) -> Result<(), Fault> {
        self.injector.effect(&self.place, "write", self.inner.write(slot, value, token)).await
    }

    async fn has_previous(&self, slot: &StorePolicy) -> Result<bool, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.has_previous(slot).await
    }

    async fn retire_previous(&self, slot: &StorePolicy) -> Result<(), Fault> {
        self.injector.effect(&self.place, "retire_previous", self.inner.retire_previous(slot)).await
    }

    async fn versions(&self, slot: &StorePolicy) -> Result<Vec<serde_json::Value>, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.versions(slot).await
    }
}

#[async_trait]
impl Issuer for Faulty<dyn Issuer> {
    async fn probe(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.probe(credential, value).await
    }

    async fn current(&self, credential: &CredentialPolicy) -> Result<Option<SecretString>, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.current(credential).await
    }

    async fn create(&self, credential: &CredentialPolicy, old: Option<&SecretString>) -> Result<SecretString, Fault> {
        self.injector.effect(&self.place, "create", self.inner.create(credential, old)).await
    }

    async fn cancel(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<String, Fault> {
        self.injector.effect(&self.place, "cancel", self.inner.cancel(credential, value)).await
    }

    async fn issue(
        &self,
        credential: &CredentialPolicy,
        new: &SecretString,
        old: Option<&SecretString>,
    ) -> Result<(), Fault> {
        self.injector.effect(&self.place, "issue", self.inner.issue(credential, new, old)).await
    }

    async fn revoke(
        &self,
        credential: &CredentialPolicy,
        old: Option<&SecretString>,
        new: Option<&SecretString>,
    ) -> Result<String, Fault> {
        self.injector.effect(&self.place, "revoke", self.inner.revoke(credential, old, new)).await
    }

    async fn evidence(&self, credential: &CredentialPolicy) -> Result<Option<serde_json::Value>, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.evidence(credential).await
    }
}

#[async_trait]
impl PauseSwitch for Faulty<dyn PauseSwitch> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn missing(&self) -> Vec<String> {
        self.inner.missing()
    }

    async fn observe(&self) -> Result<SwitchState, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.observe().await
    }

    async fn engage(&self) -> Result<String, Fault> {
        self.injector.effect(&self.place, "engage", self.inner.engage()).await
    }

    async fn release(&self) -> Result<String, Fault> {
        self.injector.effect(&self.place, "release", self.inner.release()).await
    }
}

#[async_trait]
impl Service for Faulty<dyn Service> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn restart(&self) -> Result<String, Fault> {
        self.injector.effect(&self.place, "restart", self.inner.restart()).await
    }

    async fn stop(&self) -> Result<String, Fault> {
        self.injector.effect(&self.place, "stop", self.inner.stop()).await
    }

    async fn health(&self) -> Result<String, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.health().await
    }
}

#[async_trait]
impl Guard for Faulty<dyn Guard> {
    async fn install(&self) -> Result<String, Fault> {
        self.injector.effect(&self.place, "install", self.inner.install()).await
    }

    async fn inspect(&self) -> Result<GuardReport, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.inspect().await
    }

    async fn engage(&self) -> Result<String, Fault> {
        self.injector.effect(&self.place, "engage", self.inner.engage()).await
    }

    async fn release(&self) -> Result<String, Fault> {
        self.injector.effect(&self.place, "release", self.inner.release()).await
    }

    async fn insert_through(&self, columns: &[String], rows: &[crate::ports::Row]) -> Result<u64, Fault> {
        self.injector.effect(&self.place, "insert", self.inner.insert_through(columns, rows)).await
    }

    async fn canary(&self) -> Result<Canary, Fault> {
        self.injector.reach(&self.place)?;
        self.inner.canary().await
    }
}
