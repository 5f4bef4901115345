//! Who honours credentials: a PostgreSQL role, an API key table, the deployment itself.

mod api_key_table;
mod http_probe;
mod pgbouncer;
mod postgres_role;
mod self_made;
mod session;

pub use api_key_table::ApiKeyTable;
pub use postgres_role::PostgresRole;
pub use self_made::SelfMade;
pub use session::KeyDatabase;
