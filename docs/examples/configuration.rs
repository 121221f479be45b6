//! The configuration of the Kafka transport.

use std::time::Duration;

use tidings::transport::kafka::config::InvalidKafkaConfig;

// ANCHOR: code
use tidings::transport::kafka::config::{Compression, KafkaConfig};

pub fn config() -> Result<KafkaConfig, InvalidKafkaConfig> {
    let config = KafkaConfig::new("user-service", "localhost:9092")
        .throughput() // a preset: a base that everything else wins over
        .linger(Duration::from_millis(5))
        .compression(Compression::Zstd)
        .with_env()?; // last, so the environment wins
    config.validate()?; // `Kafka::connect` asks the same
    Ok(config)
}
// ANCHOR_END: code

// ANCHOR: effective
pub fn show(config: &KafkaConfig) {
    for line in config.effective() {
        println!("{} = {} ({})", line.setting, line.value, line.origin);
    }
}
// ANCHOR_END: effective

#[test]
fn a_configuration_from_code_is_sound() {
    show(&config().unwrap());
}
