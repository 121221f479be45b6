//! Starts services for a test, asks them, and stops them at its end.

use std::time::Duration;

use example_service::broker::Broker;
use example_service::service::Service;
use example_service::settings::Settings;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tidings::transport::kafka::EmbeddedBroker;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn settings(vars: &[(&str, &str)]) -> Settings {
    let vars = vars.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Settings::from_vars(vars).unwrap()
}

/// A service that runs until it is dropped, and its broker with it.
pub(crate) struct Running {
    url: String,
    http: Client,
    _broker: EmbeddedBroker,
    _stop: oneshot::Sender<()>,
}

impl Running {
    pub(crate) async fn users(settings: &Settings, broker: &EmbeddedBroker) -> Self {
        let here = Broker::Embedded(broker.clone());
        let service = Service::users(settings, &here, "127.0.0.1:0").await.unwrap();
        Self::start(service, broker)
    }

    pub(crate) async fn mails(settings: &Settings, broker: &EmbeddedBroker) -> Self {
        let here = Broker::Embedded(broker.clone());
        let service = Service::mails(settings, &here, "127.0.0.1:0").await.unwrap();
        Self::start(service, broker)
    }

    fn start(service: Service, broker: &EmbeddedBroker) -> Self {
        let url = format!("http://{}", service.address());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(service.run_until(async move { drop(stopped.await) }));
        Self { url, http: Client::new(), _broker: broker.clone(), _stop: stop }
    }

    /// Answers the status and the body, `null` where there is none.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        if status.is_client_error() || status.is_server_error() {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Asks until the answer is as it should be.
    pub(crate) async fn get_until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let body = self.get(path).await;
            if is_so(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path} still answers {body}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}
