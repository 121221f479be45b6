//! Settings that are a choice among few.

use std::fmt;
use std::str::FromStr;

/// A text that names none of a setting's choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {choices}")]
pub struct InvalidChoice {
    text: String,
    choices: &'static str,
}

impl InvalidChoice {
    pub(super) fn new(text: &str, choices: &'static str) -> Self {
        Self { text: text.chars().take(64).collect(), choices }
    }
}

macro_rules! choices {
    ($(
        $(#[$doc:meta])*
        $choice:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }
    )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $choice { $($(#[$variant_doc])* $variant,)* }

        impl $choice {
            /// All choices.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The choice, as variables and librdkafka write it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $choice {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        /// Letters count the same large or small.
        impl FromStr for $choice {
            type Err = InvalidChoice;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|choice| choice.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
                    let choices = concat!($("`", $text, "`, ",)*).trim_end_matches(", ");
                    InvalidChoice::new(text, choices)
                })
            }
        }
    )* };
}

choices! {
    /// How the connection to brokers is secured.
    SecurityProtocol {
        /// Neither encrypted nor authenticated.
        Plaintext = "PLAINTEXT",
        /// Encrypted; brokers, and with a certificate also this client, are authenticated. Feature `kafka-tls`.
        Ssl = "SSL",
        /// Authenticated, not encrypted.
        SaslPlaintext = "SASL_PLAINTEXT",
        /// Authenticated and encrypted. Feature `kafka-tls`.
        SaslSsl = "SASL_SSL",
    }

    /// How this client proves who it is.
    SaslMechanism {
        /// User name and password, sent as they are.
        Plain = "PLAIN",
        /// User name and password, never sent. Feature `kafka-tls`.
        ScramSha256 = "SCRAM-SHA-256",
        /// User name and password, never sent. Feature `kafka-tls`.
        ScramSha512 = "SCRAM-SHA-512",
        /// Kerberos. Feature `kafka-gssapi`.
        Gssapi = "GSSAPI",
    }

    /// Who must have an event before it counts as published.
    Acks {
        /// All replicas that are in sync.
        All = "all",
        /// The partition's leader; lost with it.
        Leader = "1",
        /// Nobody: `Ok` says only that it left this process.
        None = "0",
    }

    /// How batches are compressed.
    Compression {
        /// Not at all.
        None = "none",
        /// Small and slow.
        Gzip = "gzip",
        /// Fast.
        Snappy = "snappy",
        /// Fast.
        Lz4 = "lz4",
        /// Small.
        Zstd = "zstd",
    }

    /// Where a group starts on a partition on which it has no offset, or one that is gone.
    AutoOffsetReset {
        /// At the oldest event: nothing is missed.
        Earliest = "earliest",
        /// At what comes from now on: what is there is passed over.
        Latest = "latest",
        /// Nowhere: it is an error.
        Error = "error",
    }

    /// Which records of Kafka transactions are seen.
    IsolationLevel {
        /// Those of committed ones.
        ReadCommitted = "read_committed",
        /// Those of aborted ones too.
        ReadUncommitted = "read_uncommitted",
    }

    /// How partitions are spread over the members of a group (classic protocol).
    AssignmentStrategy {
        /// Evenly, and members keep what they have; only what moves is given up.
        CooperativeSticky = "cooperative-sticky",
        /// Neighbouring partitions together; everything is given up each time.
        Range = "range",
        /// One after another; everything is given up each time.
        RoundRobin = "roundrobin",
    }

    /// How the members of a group agree.
    GroupProtocol {
        /// Through a leader among them.
        Classic = "classic",
        /// Through the broker (KIP-848, Kafka 4). librdkafka before 2.15 has stalls with it.
        Consumer = "consumer",
    }
}

impl SecurityProtocol {
    /// Whether the connection is encrypted.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether this client authenticates itself through SASL.
    pub const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl SaslMechanism {
    /// Whether it takes a user name and a password.
    pub const fn takes_password(self) -> bool {
        matches!(self, Self::Plain | Self::ScramSha256 | Self::ScramSha512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_in_large_and_small_letters() {
        assert_eq!("sasl_ssl".parse(), Ok(SecurityProtocol::SaslSsl));
        assert_eq!("All".parse(), Ok(Acks::All));
        for mechanism in SaslMechanism::ALL {
            assert_eq!(mechanism.to_string().parse(), Ok(*mechanism));
        }
    }

    #[test]
    fn a_text_that_is_no_choice_is_refused_with_the_choices() {
        let error = "brotli".parse::<Compression>().unwrap_err().to_string();
        assert_eq!(error, "\"brotli\" is none of `none`, `gzip`, `snappy`, `lz4`, `zstd`");
    }
}
