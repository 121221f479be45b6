//! Where the brokers are, and how to be let in.

use secrecy::SecretString;

use super::super::choices::{SaslMechanism, SecurityProtocol};
use super::super::effective::Origin;
use super::super::names;
use super::super::table::{Client, Setting, settings};
use super::super::text::{BootstrapServers, Pem};

settings! {
    /// Where the brokers are, and how to be let in.
    ConnectionSettings at connection {
        /// The brokers to ask first, `host:port`, with commas between several. Needed. Default: none.
        BOOTSTRAP_SERVERS bootstrap_servers(BootstrapServers) = BootstrapServers::default()
            => Any "bootstrap.servers";
        /// The service's name, from which the client id is made. Needed, unless there is a client id. Default: none.
        SERVICE_NAME service_name(String) = String::new();
        /// The name by which brokers know this client. Default: none, which makes one of the service, the host and 8
        /// hexadecimal digits: `orders-host7-1f0c9a2e`.
        CLIENT_ID client_id(String => Option<String>) = None;
        /// Whether the connection is encrypted and authenticated. Default: `PLAINTEXT`.
        SECURITY_PROTOCOL security_protocol(SecurityProtocol) = SecurityProtocol::Plaintext
            => Any "security.protocol";
        /// How to authenticate, with a SASL protocol. Default: none.
        SASL_MECHANISM sasl_mechanism(SaslMechanism => Option<SaslMechanism>) = None => Any "sasl.mechanism";
        /// The user's name, with PLAIN and SCRAM. Default: none.
        SASL_USERNAME sasl_username(String => Option<String>) = None => Any "sasl.username";
        /// The user's password, with PLAIN and SCRAM; a secret. Default: none.
        SASL_PASSWORD sasl_password(SecretString => Option<SecretString>) = None => Any "sasl.password";
        /// The authorities to trust: a PEM file, a folder of them, or PEM text. Default: none, which leaves it to
        /// OpenSSL.
        SSL_CA ssl_ca(Pem => Option<Pem>) = None;
        /// This client's certificate: a PEM file or PEM text. Default: none.
        SSL_CERTIFICATE ssl_certificate(Pem => Option<Pem>) = None;
        /// The certificate's key: a PEM file or PEM text, which is a secret. Default: none.
        SSL_KEY ssl_key(Pem => Option<Pem>) = None;
        /// The key's password; a secret. Default: none.
        SSL_KEY_PASSWORD ssl_key_password(SecretString => Option<SecretString>) = None
            => Any "ssl.key.password";
    }
}
