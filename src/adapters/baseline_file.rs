//! What `install` saw of the database, below `$PORTCULLIS_HOME`; and Prisma's migrations folder.

use std::fs;
use std::path::Path;

use super::confined::Confined;
use crate::detect::backup::Dialect;
use crate::detect::database::{Baseline, Migrations};
use crate::ports::{Fault, FaultKind};

/// Name of the file below `$PORTCULLIS_HOME`.
pub const FILE: &str = "database-baseline.json";
/// Most migrations that are read.
const MOST: usize = 10_000;
/// Longest migration, in bytes.
const LONGEST: u64 = 16 << 20;

/// Writes it, mode 0600.
pub fn write(home: &Path, baseline: &Baseline) -> Result<(), Fault> {
    let bytes = serde_json::to_vec_pretty(baseline)
        .map_err(|error| Fault::with(FaultKind::Invalid, "failed to encode the baseline", error))?;
    Confined::open(home, true)?.write(FILE, &bytes)
}

/// Reads it; `None` if `install` never wrote one.
pub fn read(home: &Path) -> Result<Option<Baseline>, Fault> {
    if !home.is_dir() {
        return Ok(None);
    }
    let Some(bytes) = Confined::open(home, false)?.read(FILE)? else { return Ok(None) };
    let baseline: Baseline = serde_json::from_slice(&bytes).map_err(|error| {
        Fault::with(FaultKind::Corrupt, format!("{FILE} can't be read; run portcullis install"), error)
    })?;
    if baseline.version != 1 {
        let message = format!("{FILE} has version {}, this program reads 1", baseline.version);
        return Err(Fault::new(FaultKind::Invalid, message));
    }
    Ok(Some(baseline))
}

/// What the migrations of a folder make: `<folder>/<name>/migration.sql`.
pub fn migrations(folder: &Path, dialect: Dialect) -> Result<Migrations, Fault> {
    let failed = |error: std::io::Error| {
        Fault::with(FaultKind::NotFound, format!("failed to read the migrations in {}", folder.display()), error)
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)?.take(MOST) {
        paths.push(entry.map_err(failed)?.path().join("migration.sql"));
    }
    paths.sort();
    let mut made = Migrations::default();
    for path in paths.iter().filter(|path| path.is_file()) {
        if fs::metadata(path).map_err(failed)?.len() > LONGEST {
            return Err(Fault::new(FaultKind::Invalid, format!("{} is longer than 16 MB", path.display())));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        made.add(&text, dialect)
            .map_err(|why| Fault::new(FaultKind::Invalid, format!("failed to read {}: {why}", path.display())))?;
    }
    Ok(made)
}
