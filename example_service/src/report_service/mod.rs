//! The report service: workers that make reports and profiles of the user service's events, and the profiles over
//! HTTP.

mod http;
mod workers;

use example_contracts::{MonthlyReports, Profile, UserProfiles, Users};
use tidings::cli::App;
use tidings::consumer::BuildError;
use tidings::state::{StateStartError, StateView};
use tidings::transport::Transport;
use tidings::worker::Worker;

pub use http::router;
pub use workers::{DEPARTURES, PROFILES, SIGN_UPS, departures, profiles, sign_ups};

use crate::broker::{START, TOPICS};

/// What its messages name as their source.
pub const NAME: &str = "report-service";

/// What is known of each user who is there.
pub type Profiles = StateView<UserProfiles, Profile>;

/// Begins to read the profiles.
///
/// # Errors
/// When the broker refuses or stays away.
pub async fn view<T: Transport + Clone>(transport: &T) -> Result<Profiles, StateStartError> {
    Profiles::builder().topics(TOPICS).start_wait(START).start(transport).await
}

/// All of its workers.
///
/// # Errors
/// When one is put together wrongly.
pub fn workers<T: Transport + Clone>(transport: &T) -> Result<[Worker; 3], BuildError> {
    Ok([sign_ups(transport)?, departures(transport)?, profiles(transport)?])
}

/// What the command line knows.
pub fn commands() -> App {
    App::new(NAME)
        .topic::<Users>()
        .topic::<MonthlyReports>()
        .topic::<UserProfiles>()
        .worker(SIGN_UPS, sign_ups)
        .worker(DEPARTURES, departures)
        .worker(PROFILES, profiles)
}
