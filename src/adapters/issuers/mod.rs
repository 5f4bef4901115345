//! Who honours credentials: a PostgreSQL role, an API key table, AWS, the deployment itself.

mod api_key_table;
mod aws_iam_user;
mod aws_role_sessions;
mod aws_sessions;
mod http_api;
mod http_probe;
mod pgbouncer;
mod postgres_role;
mod self_made;
mod session;

pub use api_key_table::ApiKeyTable;
pub use aws_iam_user::AwsIamUser;
pub use aws_role_sessions::AwsRoleSessions;
pub use http_api::HttpApi;
pub use postgres_role::PostgresRole;
pub use self_made::SelfMade;
pub use session::KeyDatabase;
