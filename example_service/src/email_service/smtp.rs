//! Mails through an SMTP server.

use std::time::Duration;

use lettre::message::Mailbox as Address;
use lettre::message::header::ContentType;
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tidings::error::BoxError;
use url::Url;

use super::mail::{Mail, MailError};

/// How long one exchange with the server may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A mail relay beside the service, spoken to without TLS and without a password.
pub struct Smtp {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Address,
}

impl Smtp {
    /// Reads `smtp://host:port`; the port is 25 unless it is said.
    ///
    /// # Errors
    /// When the address is another, or `from` is not a sender.
    pub fn new(url: &str, from: &str) -> Result<Self, BoxError> {
        let parsed =
            Url::parse(url).map_err(|error| format!("SMTP_URL cannot be read: {error}"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err("SMTP_URL holds a password, which would be sent unencrypted; \
                use a relay that asks for none"
                .into());
        }
        let host = match (parsed.scheme(), parsed.host_str()) {
            ("smtp", Some(host)) => host,
            _ => {
                return Err(format!("SMTP_URL is {url:?}; it has the form smtp://host:1025").into());
            }
        };
        let from = from.parse().map_err(|error| {
            format!("EMAIL_SERVICE__SENDER is {from:?}, which is no sender: {error}")
        })?;
        let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(parsed.port().unwrap_or(25))
            .timeout(Some(TIMEOUT))
            .build();
        Ok(Self { server, from })
    }

    fn message(&self, mail: &Mail) -> Result<Message, BoxError> {
        let message = Message::builder()
            .message_id(Some(format!("<{}@tidings.example>", mail.event_id)))
            .from(self.from.clone())
            .to(Address::new(None, mail.to.parse()?))
            .subject(mail.subject.clone())
            .header(ContentType::TEXT_PLAIN)
            .body(mail.body.clone())?;
        Ok(message)
    }

    /// Takes a mail to the server; `Ok` once that has it.
    ///
    /// # Errors
    /// When it was not taken; the error says whether it may be later.
    pub async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let message = self.message(mail).map_err(MailError::Never)?;
        self.server.send(message).await.map(drop).map_err(failed)
    }
}

/// A refusal concerns this mail; anything else says that the server is not there for any.
fn failed(error: SmtpError) -> MailError {
    if error.is_permanent() {
        MailError::Never(error.into())
    } else if error.is_transient() {
        MailError::NotNow(Some(error.into()))
    } else {
        MailError::ServerAway(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_relay_is_taken() {
        assert!(Smtp::new("smtp://localhost:1025", "Example <hello@example.org>").is_ok());
        for (url, why) in [
            ("localhost:1025", "has the form"),
            ("smtps://mail.example.org", "has the form"),
            ("smtp://me:secret@mail.example.org", "password"),
        ] {
            let error = Smtp::new(url, "hello@example.org").err().unwrap().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }
}
