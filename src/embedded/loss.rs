//! The disasters that are no breach.

use super::{EmbeddedDeployment, database};
use crate::ports::{Fault, FaultKind};

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The database.
    Database,
    /// The database and the configuration.
    Server,
    /// The values of trades: some overwritten, some deleted.
    Values,
}

impl EmbeddedDeployment {
    /// Loses it; says what was done.
    pub async fn lose(&self, lost: Lost) -> Result<String, Fault> {
        let remove = |name: &str| match std::fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Fault::with(FaultKind::Unavailable, format!("failed to lose {name}"), error))
            }
            _ => Ok(()),
        };
        match lost {
            Lost::Database | Lost::Server => {
                for name in ["trading.db", "trading.db-wal", "trading.db-shm"] {
                    remove(name)?;
                }
                if lost == Lost::Database {
                    return Ok("trading.db is gone".into());
                }
                remove(".env")?;
                Ok("trading.db and .env are gone".into())
            }
            Lost::Values => {
                let mut connection = database::open(&self.root, false).await?;
                let sql = "UPDATE \"Trade\" SET price = 0, value = 0 WHERE id % 7 = 0; DELETE FROM \"Trade\" WHERE id % 11 = 0;";
                database::execute(&mut connection, sql.to_owned()).await?;
                database::close(connection).await?;
                Ok("prices were overwritten and trades deleted".into())
            }
        }
    }
}
