//! Settings whose text needs a type of its own: broker addresses, certificates and keys.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// The brokers to ask first: `host:port`, or `[2001:db8::1]:9092`, one or many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootstrapServers(Vec<String>);

impl BootstrapServers {
    /// Each address.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Why the list cannot be used, or an address of it cannot.
    pub(super) fn problem(&self) -> Option<String> {
        if self.0.is_empty() {
            return Some(
                "no broker is given; write `host:port`, with commas between several".into(),
            );
        }
        self.iter().find_map(|server| {
            address_problem(server).map(|why| format!("{server:?} is not `host:port`: {why}"))
        })
    }
}

fn address_problem(server: &str) -> Option<&'static str> {
    if server.contains("://") {
        return Some("it begins with a scheme; the security protocol is a setting of its own");
    }
    let Some((host, port)) = server.rsplit_once(':') else { return Some("the port is missing") };
    if !port.bytes().all(|b| b.is_ascii_digit()) || !port.parse::<u16>().is_ok_and(|port| port > 0)
    {
        return Some("the port is not a number from 1 to 65535");
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner
            .strip_suffix(']')
            .map(|inner| inner.split_once('%').map_or(inner, |(inner, _)| inner));
        return match inner.map(str::parse::<std::net::Ipv6Addr>) {
            Some(Ok(_)) => None,
            _ => Some("what stands in brackets is no IPv6 address"),
        };
    }
    if host.contains(':') {
        return Some("an IPv6 address stands in brackets");
    }
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    (host.is_empty() || !host.chars().all(legal))
        .then_some("the host is empty or has characters that no host has")
}

impl fmt::Display for BootstrapServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Commas separate addresses.
impl From<&str> for BootstrapServers {
    fn from(text: &str) -> Self {
        Self(
            text.split(',')
                .map(str::trim)
                .filter(|server| !server.is_empty())
                .map(Into::into)
                .collect(),
        )
    }
}

impl From<String> for BootstrapServers {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl<S: AsRef<str>> From<Vec<S>> for BootstrapServers {
    fn from(servers: Vec<S>) -> Self {
        Self(servers.iter().flat_map(|servers| Self::from(servers.as_ref()).0).collect())
    }
}

impl<S: AsRef<str>, const N: usize> From<[S; N]> for BootstrapServers {
    fn from(servers: [S; N]) -> Self {
        Vec::from(servers).into()
    }
}

/// A certificate or a key: a PEM file, or PEM text. The text is never shown.
#[derive(Clone)]
#[non_exhaustive]
pub enum Pem {
    /// Where the file is.
    File(PathBuf),
    /// What would be in it.
    Text(SecretString),
}

/// Longer than this is no path, but somebody's key in a shape that we do not know.
const LONGEST_PATH: usize = 255;

impl Pem {
    /// What may be shown: the path.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::File(path) if path.as_os_str().len() <= LONGEST_PATH => {
                path.display().to_string()
            }
            Self::File(_) => "(hidden, too long for a path)".into(),
            Self::Text(_) => "(PEM text, hidden)".into(),
        }
    }

    /// The path, where it is a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) => None,
        }
    }

    /// The property's last part and its value: `location` or `pem`.
    pub(super) fn property(&self) -> (&'static str, String) {
        match self {
            Self::File(path) => ("location", path.display().to_string()),
            Self::Text(text) => ("pem", text.expose_secret().into()),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// Text that begins with `-----BEGIN` is PEM, with `\n` taken for a line's end where it has no lines; all else is a
/// path.
impl From<&str> for Pem {
    fn from(text: &str) -> Self {
        let text = text.trim();
        if !text.starts_with("-----BEGIN") {
            return Self::File(text.into());
        }
        Self::Text(if text.contains('\n') { text.into() } else { text.replace("\\n", "\n").into() })
    }
}

impl From<String> for Pem {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Pem {
    fn from(path: &Path) -> Self {
        Self::File(path.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_one_or_many() {
        assert_eq!(BootstrapServers::from("a:1, b:2,").to_string(), "a:1,b:2");
        assert_eq!(BootstrapServers::from(["a:1", "b:2,c:3"]).to_string(), "a:1,b:2,c:3");
        assert_eq!(BootstrapServers::from(vec!["a:1".to_owned()]).to_string(), "a:1");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in [
            "localhost:9092",
            "10.0.0.1:1",
            "[::1]:9092",
            "[fe80::1%eth0]:9092",
            "kafka_0.svc-a:65535",
        ] {
            assert_eq!(BootstrapServers::from(good).problem(), None, "{good}");
        }
        for (bad, reason) in [
            ("", "no broker is given"),
            (" , ", "no broker is given"),
            ("localhost", "the port is missing"),
            ("localhost:", "not a number"),
            ("localhost:0", "not a number"),
            ("localhost:+9", "not a number"),
            ("localhost:65536", "not a number"),
            (":9092", "the host is empty"),
            ("a b:9092", "characters that no host has"),
            ("::1:9092", "stands in brackets"),
            ("[::1:9092", "no IPv6 address"),
            ("[localhost]:9092", "no IPv6 address"),
            ("SASL_SSL://a:9092", "begins with a scheme"),
            ("a:1,b", "\"b\" is not `host:port`"),
        ] {
            let problem = BootstrapServers::from(bad).problem().unwrap_or_default();
            assert!(problem.contains(reason), "{bad}: {problem}");
        }
    }

    #[test]
    fn pem_is_a_path_or_a_text_that_is_never_shown() {
        let pem = Pem::from("-----BEGIN PRIVATE KEY-----\\nabc\\n-----END PRIVATE KEY-----");
        assert!(!format!("{pem:?} {}", pem.shown()).contains("abc"));
        assert_eq!(
            pem.property(),
            ("pem", "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----".into())
        );
        let pem = Pem::from("/certs/ca.pem");
        assert_eq!(
            (pem.shown(), pem.property()),
            ("/certs/ca.pem".into(), ("location", "/certs/ca.pem".into()))
        );
        assert!(!Pem::from("k".repeat(300)).shown().contains("kkk"));
    }
}
