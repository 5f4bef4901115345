//! Channels by which people are told.

mod pagerduty;
mod post;
mod slack;
mod smtp;
mod webhook;

use std::sync::Arc;

use secrecy::SecretString;

use crate::policy::contacts::{ChannelPolicy, ContactPolicy};
use crate::ports::{Fault, FaultKind, Notifier};

/// A secret by the name of its environment variable.
struct Variable {
    name: String,
    value: Option<SecretString>,
}

impl Variable {
    fn value(&self) -> Result<&SecretString, Fault> {
        self.value.as_ref().ok_or_else(|| {
            Fault::new(FaultKind::Invalid, format!("{} is not set, neither in the environment nor in .env", self.name))
        })
    }

    fn missing<'a>(all: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        all.into_iter().filter(|variable| variable.value.is_none()).map(|variable| variable.name.clone()).collect()
    }
}

/// The notifier of a contact; `variable` looks a secret up by its name.
pub fn notifier(contact: &ContactPolicy, variable: &dyn Fn(&str) -> Option<SecretString>) -> Arc<dyn Notifier> {
    let look_up = |name: &String| Variable { name: name.clone(), value: variable(name) };
    let contact_name = contact.name.clone();
    match &contact.channel {
        ChannelPolicy::Webhook { url, bearer_env, hmac_env } => Arc::new(webhook::Webhook {
            contact: contact_name,
            url: url.clone(),
            bearer: bearer_env.as_ref().map(look_up),
            signing: hmac_env.as_ref().map(look_up),
        }),
        ChannelPolicy::Slack { url_env } => Arc::new(slack::Slack { contact: contact_name, address: look_up(url_env) }),
        ChannelPolicy::Pagerduty { routing_key_env, severity, url } => Arc::new(pagerduty::PagerDuty {
            contact: contact_name,
            url: url.clone(),
            routing_key: look_up(routing_key_env),
            severity: *severity,
        }),
        ChannelPolicy::Smtp { host, port, tls, user_env, password_env, from, to } => Arc::new(smtp::Mail {
            contact: contact_name,
            host: host.clone(),
            port: *port,
            tls: *tls,
            login: user_env.as_ref().map(look_up).zip(password_env.as_ref().map(look_up)),
            from: from.clone(),
            to: to.clone(),
        }),
    }
}
