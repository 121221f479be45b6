//! What librdkafka says of our properties, and who sees our secrets.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::BaseProducer;

use super::*;

/// Port 9 answers nobody; clients are made without a broker.
fn base() -> KafkaConfig {
    KafkaConfig::new("orders", "127.0.0.1:9").property("log_level", "0")
}

fn client(properties: Properties) -> ClientConfig {
    properties.into_iter().collect()
}

/// Makes one client of each kind.
fn make(config: &KafkaConfig) {
    config.validate().unwrap();
    let _: BaseProducer = client(config.producer_properties()).create().unwrap();
    let _: BaseConsumer = client(config.consumer_properties("g")).create().unwrap();
    let _: AdminClient<DefaultClientContext> = client(config.admin_properties()).create().unwrap();
}

#[test]
fn librdkafka_takes_the_defaults_and_every_preset() {
    make(&base());
    for preset in Preset::ALL {
        make(&base().with_preset(*preset, Origin::Code));
    }
}

#[test]
fn librdkafka_takes_every_choice() {
    for compression in Compression::ALL {
        make(&base().compression(*compression));
    }
    for strategy in AssignmentStrategy::ALL {
        make(&base().assignment_strategy(*strategy).static_member_id("member-1"));
    }
    for reset in AutoOffsetReset::ALL {
        make(&base().auto_offset_reset(*reset).isolation_level(IsolationLevel::ReadUncommitted));
    }
    for acks in Acks::ALL {
        make(&base().idempotence(false).acks(*acks).retries(0_u32).max_in_flight(6_u32));
    }
    make(&base().group_protocol(GroupProtocol::Consumer));
    make(&base().retry_backoff(Duration::from_secs(5)));
    let sasl = base()
        .security_protocol(SecurityProtocol::SaslPlaintext)
        .sasl_mechanism(SaslMechanism::Plain);
    make(&sasl.sasl_username("me").sasl_password("hunter2"));
}

#[test]
fn librdkafka_takes_both_ends_of_every_range() {
    for (setting, (low, high)) in table::all().filter_map(|setting| Some((setting, setting.range?)))
    {
        for end in [low, high] {
            let mut config = base().idempotence(false);
            (setting.get_mut)(&mut config.groups).read(&end.to_string()).unwrap();
            let value = (setting.get)(&config.groups);
            assert_eq!(value.outside(low, high), None, "{}", setting.name);
            // Properties alone: their combinations are not what is tried here.
            for properties in [config.producer_properties(), config.consumer_properties("g")] {
                let given = client(properties).create_native_config();
                given.unwrap_or_else(|error| panic!("{} = {end}: {error}", setting.name));
            }
        }
    }
}

#[test]
fn a_misspelt_property_is_refused_by_librdkafka() {
    let config = base().property("socket.timeout.sm", "1");
    assert!(client(config.producer_properties()).create::<BaseProducer>().is_err());
}

#[test]
fn every_name_that_we_write_or_guard_is_a_property_of_librdkafka() {
    let is_known = |name: &str| match ClientConfig::new().set(name, "1").create_native_config() {
        Ok(_) => true,
        Err(error) => !error.to_string().contains("No such configuration property"),
    };
    assert!(!is_known("socket.timeout.sm"));
    let rows = table::all().filter_map(|setting| setting.property.map(|(_, name)| name));
    let guarded = names::ALIASES.iter().chain(names::FIXED).map(|(name, _)| *name);
    let unknown: Vec<_> = rows.chain(guarded).filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_promises_stand_in_the_properties() {
    let producer = base().producer_properties();
    for (name, value) in [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("partitioner", "murmur2_random"),
        ("linger.ms", "0"),
        ("message.timeout.ms", "30000"),
        ("max.in.flight.requests.per.connection", "1"),
        ("queue.buffering.max.messages", "100000"),
        ("queue.buffering.max.kbytes", "131072"),
        ("compression.type", "none"),
        ("socket.keepalive.enable", "true"),
        ("reconnect.backoff.max.ms", "2000"),
    ] {
        assert_eq!(producer.get(name), Some(value), "{name}");
    }
    let consumer = base().consumer_properties("mail");
    for (name, value) in [
        ("group.id", "mail"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "false"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_committed"),
        ("session.timeout.ms", "45000"),
        ("heartbeat.interval.ms", "3000"),
        ("max.poll.interval.ms", "300000"),
        ("queued.min.messages", "1000"),
        ("queued.max.messages.kbytes", "65536"),
        ("fetch.wait.max.ms", "500"),
        ("fetch.queue.backoff.ms", "5"),
    ] {
        assert_eq!(consumer.get(name), Some(value), "{name}");
    }
    let common: BTreeSet<_> = base().admin_properties().into_iter().map(|(name, _)| name).collect();
    for name in ["acks", "group.id", "partitioner", "fetch.queue.backoff.ms"] {
        assert!(!common.contains(name), "{name}");
    }
}

#[test]
fn no_client_gets_a_property_of_another_kind() {
    let rows = |client| {
        table::all().filter_map(move |setting| {
            setting.property.filter(|(of, _)| *of == client).map(|(_, name)| name)
        })
    };
    let (producer, consumer) = (base().producer_properties(), base().consumer_properties("g"));
    assert!(rows(table::Client::Producer).all(|name| consumer.get(name).is_none()));
    assert!(rows(table::Client::Consumer).all(|name| producer.get(name).is_none()));
}

#[test]
fn a_client_id_is_made_of_service_host_and_chance_once() {
    let config = base();
    let id = config.effective_client_id();
    let (rest, chance) = id.rsplit_once('-').unwrap();
    assert!(rest.starts_with("orders-") && rest.len() > "orders-".len(), "{id}");
    assert!(chance.len() == 8 && chance.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(config.clone().effective_client_id(), id);
    assert_ne!(base().effective_client_id(), id);
    assert_eq!(config.producer_properties().get("client.id"), Some(id.as_str()));
    assert_eq!(config.client_id("mine").consumer_properties("g").get("client.id"), Some("mine"));
}

#[test]
fn no_secret_is_ever_shown() {
    const SECRET: &str = "hunter2";
    let key = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----");
    let config = base()
        .sasl_password(SECRET)
        .ssl_key_password(SECRET)
        .ssl_key(key)
        .property("ssl.keystore.password", SECRET)
        .property("ssl.key.pem", SECRET)
        .property("sasl.oauthbearer.client.secret", SECRET);
    let error = config.validate().unwrap_err();
    assert!(error.problems().len() >= 4, "{error}");
    let shown = [
        format!("{config:?}"),
        format!("{config:#?}"),
        format!("{:?}", config.connection()),
        format!("{:?}", config.effective()),
        format!("{:?}", config.producer_properties()),
        format!("{:?}", config.consumer_properties("g")),
        format!("{:?}", config.admin_properties()),
        format!("{error}"),
        format!("{error:?}"),
    ];
    for text in shown {
        assert!(!text.contains(SECRET), "{text}");
    }
    let known = config.admin_properties();
    assert_eq!(known.get("sasl.password"), Some(SECRET));
    assert!(format!("{known:?}").contains("\"sasl.password\": \"(hidden)\""), "{known:?}");
}

#[cfg(feature = "kafka-tls")]
#[test]
fn librdkafka_takes_tls_and_scram() {
    make(&base().security_protocol(SecurityProtocol::Ssl).ssl_ca("probe"));
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512, SaslMechanism::Plain]
    {
        let sasl = base().security_protocol(SecurityProtocol::SaslSsl).sasl_mechanism(mechanism);
        make(&sasl.sasl_username("me").sasl_password("hunter2"));
    }
    let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";
    let config = base()
        .security_protocol(SecurityProtocol::Ssl)
        .ssl_ca(pem)
        .ssl_certificate(pem)
        .ssl_key(pem);
    config.validate().unwrap();
    let given = client(config.ssl_key_password("x").producer_properties()).create_native_config();
    assert_eq!(given.map(drop), Ok(()));
}
