//! The contracts between the example's services: what one says to all others, and on which topics.

mod reports;
mod users;

pub use reports::{Change, MonthlyReports, Profile, ReportEntry, UserProfiles};
pub use users::{UserCreated, UserDeactivated, UserRenamed, Users};
