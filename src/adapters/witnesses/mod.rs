//! Places outside the case folder that hold copies of checkpoints.

mod c2sp;
mod directory;

pub use c2sp::C2spWitness;
pub use directory::DirectoryWitness;
