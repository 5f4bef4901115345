use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;

use super::Variable;
use super::post::TRY;
use crate::domain::Notice;
use crate::policy::contacts::MailTls;
use crate::ports::{Fault, FaultKind, Notifier};

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Mail by SMTP.
pub(super) struct Mail {
    pub contact: String,
    pub host: String,
    pub port: Option<u16>,
    pub tls: MailTls,
    /// User and password.
    pub login: Option<(Variable, Variable)>,
    pub from: String,
    pub to: Vec<String>,
}

impl Mail {
    fn transport(&self) -> Result<Transport, Fault> {
        let builder = match self.tls {
            MailTls::None => Ok(Transport::builder_dangerous(self.host.as_str())),
            MailTls::Starttls => Transport::starttls_relay(&self.host),
            MailTls::Implicit => Transport::relay(&self.host),
        };
        let mut builder = builder
            .map_err(|_| Fault::new(FaultKind::Invalid, format!("{} is no name that TLS can check", self.host)))?
            .timeout(Some(TRY));
        if let Some(port) = self.port {
            builder = builder.port(port);
        }
        if let Some((user, password)) = &self.login {
            let user = user.value()?.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(user, password.value()?.expose_secret().to_owned()));
        }
        Ok(builder.build())
    }

    fn message(&self, notice: &Notice) -> Result<Message, Fault> {
        let mailbox = |address: &String| {
            address
                .parse::<Mailbox>()
                .map_err(|_| Fault::new(FaultKind::Invalid, format!("`{address}` is no mail address")))
        };
        let subject = match &notice.incident {
            Some(incident) => format!("[portcullis] {} ({incident})", notice.headline),
            None => format!("[portcullis] {}", notice.headline),
        };
        // The same for every try: a mail that arrives twice is shown once.
        let id = format!("<{}@portcullis.invalid>", notice.id.replace('/', "."));
        let mut builder = Message::builder().from(mailbox(&self.from)?).subject(subject).message_id(Some(id));
        for address in &self.to {
            builder = builder.to(mailbox(address)?);
        }
        builder
            .header(ContentType::TEXT_PLAIN)
            .body(notice.text())
            .map_err(|_| Fault::new(FaultKind::Invalid, "the mail can't be made from `from` and `to`"))
    }

    /// In words of our own: a server may repeat what it was sent.
    fn fault(&self, error: &lettre::transport::smtp::Error) -> Fault {
        let code = error.status().map_or(String::new(), |code| format!(" ({code})"));
        let (kind, words) = if error.is_permanent() {
            (FaultKind::Denied, format!("it refused{code}"))
        } else if error.is_transient() {
            (FaultKind::Unavailable, format!("it can't take mail now{code}"))
        } else if error.is_timeout() {
            (FaultKind::OutcomeUnknown, "it did not answer in time".to_owned())
        } else if error.is_tls() {
            (FaultKind::Denied, "its certificate or TLS can't be trusted".to_owned())
        } else if error.is_client() {
            (FaultKind::Invalid, "it does not offer what `tls` and the password need".to_owned())
        } else {
            (FaultKind::Unavailable, "it can't be reached".to_owned())
        };
        Fault::new(kind, format!("failed to send by {}: {words}", self.describe()))
    }
}

#[async_trait]
impl Notifier for Mail {
    fn contact(&self) -> &str {
        &self.contact
    }

    fn channel(&self) -> &'static str {
        "smtp"
    }

    fn describe(&self) -> String {
        format!("mail server {} to {}", self.host, self.to.join(", "))
    }

    fn missing(&self) -> Vec<String> {
        Variable::missing(self.login.iter().flat_map(|(user, password)| [user, password]))
    }

    async fn send(&self, notice: &Notice) -> Result<String, Fault> {
        let message = self.message(notice)?;
        let answer = self.transport()?.send(message).await.map_err(|error| self.fault(&error))?;
        Ok(format!("answered {}", answer.code()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Moment, Timestamp, Words};

    fn mail(tls: MailTls) -> Mail {
        let (from, to) = ("p@example.com".into(), vec!["a@example.com".into(), "b@example.com".into()]);
        Mail { contact: "c".into(), host: "mail.example.com".into(), port: None, tls, login: None, from, to }
    }

    #[test]
    fn every_kind_of_tls_can_be_built() {
        for tls in [MailTls::None, MailTls::Starttls, MailTls::Implicit] {
            mail(tls).transport().unwrap();
        }
    }

    #[test]
    fn a_hostile_headline_adds_no_header() {
        let words = Words { headline: "x\r\nBcc: evil@example.com".into(), what: vec![], next: "n".into() };
        let notice = Notice::new(Moment::Test, None, Timestamp::UNIX_EPOCH, "dana", &words);
        let text = String::from_utf8(mail(MailTls::None).message(&notice).unwrap().formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.lines().all(|line| !line.to_ascii_lowercase().starts_with("bcc")), "{head}");
        assert!(head.contains("To: a@example.com, b@example.com"), "{head}");
    }
}
