use clap::Subcommand;
use serde::Serialize;

use super::{Context, Exit, Failure};
use crate::domain::{Delivery, Moment};
use crate::engine::notices::{Notices, Told};
use crate::engine::{Deployment, notice_words};
use crate::policy::contacts::ContactPolicy;
use crate::ports::Notifier;
use crate::ui::{Printer, Record, Style, clean};

/// A test waits for every try of every channel.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(12);

/// Subcommands of `contacts`.
#[derive(Debug, Subcommand)]
pub enum ContactsCommand {
    /// Show who is told, of what, and by which channel
    List,
    /// Send a notice that says it is a test, and wait for what becomes of it
    Test(TestArgs),
}

/// Arguments of `contacts test`.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Contact, as contacts.yml names it [default: all]
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Runs a subcommand.
pub async fn run(command: ContactsCommand, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    match command {
        ContactsCommand::List => Ok(list(&deployment, ctx)),
        ContactsCommand::Test(args) => test(args, &deployment, ctx).await,
    }
}

#[derive(Debug, Serialize)]
struct ContactRecord {
    contact: String,
    channel: &'static str,
    place: String,
    on: Vec<Moment>,
    missing: Vec<String>,
}

impl ContactRecord {
    fn new(policy: &ContactPolicy, notifier: &dyn Notifier) -> Self {
        Self {
            contact: policy.name.clone(),
            channel: notifier.channel(),
            place: notifier.describe(),
            on: policy.on.clone(),
            missing: notifier.missing(),
        }
    }
}

impl Record for ContactRecord {
    const TYPE: &'static str = "contact";
    fn text(&self, printer: &Printer) -> String {
        let on: Vec<_> = self.on.iter().map(|moment| moment.as_str()).collect();
        let mut text = format!(
            "{}  {}, {}\n    on       {}",
            printer.paint(Style::Strong, clean(&self.contact)),
            self.channel,
            clean(&self.place),
            on.join(", ")
        );
        if !self.missing.is_empty() {
            let names = clean(&self.missing.join(", ")).into_owned();
            text.push_str(&format!("\n    {}  {names}", printer.paint(Style::Bad, "not set")));
        }
        text
    }
}

/// A test's result.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct ToldRecord(Told);

impl Record for ToldRecord {
    const TYPE: &'static str = "told";
    fn text(&self, printer: &Printer) -> String {
        let told = &self.0;
        let style = if told.outcome == Delivery::Sent { Style::Good } else { Style::Bad };
        let outcome = printer.paint(style, format!("{:<8}", told.outcome));
        format!("  {outcome} {:<16} {:<10} {}", clean(&told.contact), told.channel, clean(&told.detail))
    }
}

fn list(deployment: &Deployment, ctx: &Context) -> Exit {
    let contacts = &deployment.policies.contacts.contacts;
    for (policy, notifier) in contacts.iter().zip(&deployment.notifiers) {
        ctx.printer.emit(&ContactRecord::new(policy, notifier.as_ref()));
    }
    if contacts.is_empty() {
        ctx.printer.say("nobody is told; name contacts in policies/contacts.yml");
    }
    let ready = deployment.notifiers.iter().all(|notifier| notifier.missing().is_empty());
    if ready { Exit::Done } else { Exit::Incomplete }
}

async fn test(args: TestArgs, deployment: &Deployment, ctx: &Context) -> Result<Exit, Failure> {
    let known: Vec<&str> = deployment.notifiers.iter().map(|notifier| notifier.contact()).collect();
    if known.is_empty() {
        return Err(Failure::new(Exit::Usage, "there is nobody to tell")
            .hint("name contacts in policies/contacts.yml; docs/POLICIES.md names every key"));
    }
    if let Some(name) = args.name.as_deref().filter(|name| !known.contains(name)) {
        let hint = crate::policy::nearest(name, &known)
            .map_or_else(|| format!("named: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
        let message = format!("contacts.yml names no contact `{}`", clean(name));
        return Err(Failure::new(Exit::Usage, message).hint(hint));
    }
    let notices = Notices::new(deployment, None, &ctx.settings.operator);
    notices.test(args.name.as_deref(), &notice_words::test());
    let told = notices.finish(PATIENCE).await;
    let all = told.iter().all(|one| one.outcome == Delivery::Sent);
    for one in told {
        ctx.printer.emit(&ToldRecord(one));
    }
    Ok(if all { Exit::Done } else { Exit::Incomplete })
}
