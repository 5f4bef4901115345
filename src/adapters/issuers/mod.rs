//! Who honours credentials: a PostgreSQL role, an API key table, the deployment itself.

mod api_key_table;
mod http_probe;
mod postgres_role;
mod self_made;

pub use api_key_table::{ApiKeyTable, KeyDatabase};
pub use postgres_role::PostgresRole;
pub use self_made::SelfMade;
