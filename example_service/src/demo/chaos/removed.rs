//! What the inbox has removed. Each process of the email service counts anew and takes its count with
//! it, so it is asked all the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use tokio::time::sleep;

use super::cast::Address;
use crate::demo::get;
use crate::email_service::Handled;

/// How often it is asked.
const ASK: Duration = Duration::from_millis(50);

/// The last count of each process, known by its address. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Removed(Arc<Mutex<HashMap<String, u64>>>);

impl Removed {
    /// Asks for ever.
    pub async fn watch(self, http: Client, service: Address) {
        loop {
            self.look(&http, &service).await;
            sleep(ASK).await;
        }
    }

    /// Asks once. A process that does not answer is not there.
    pub async fn look(&self, http: &Client, service: &Address) {
        let url = service.get();
        if let Ok(Handled { duplicates, .. }) = get(http, format!("{url}/handled")).await {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            counts.insert(url, duplicates);
        }
    }

    /// Of all processes together.
    pub fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}
