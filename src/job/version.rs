//! Versions that go together: all machines of a farm carry out a plan with the
//! Longtake that it was laid with, or not at all.

use super::error::{JobError, Kind};
use crate::engine::plate::PlateEngine;
use crate::engine::wan;
use crate::engine::{AnyEngine, Engine as _};

/// The version of a plan for `engine`, as `plate 3, longtake 0.1.0`: the engine's,
/// which names pixels, and the program's, which names files.
pub fn plan_version(engine: &AnyEngine) -> String {
    version_of(engine.version())
}

fn version_of(engine: &str) -> String {
    format!("{engine}, longtake {}", env!("CARGO_PKG_VERSION"))
}

/// The versions of the plans that this Longtake can carry out.
fn own() -> [String; 2] {
    [PlateEngine::default().version(), wan::VERSION].map(version_of)
}

/// Checks that a plan of version `asked` can be carried out here.
///
/// # Errors
/// Where it was laid by another Longtake: parts of one take would differ.
pub fn check_version(asked: &str) -> Result<(), JobError> {
    let own = own();
    if own.iter().any(|o| o == asked) {
        return Ok(());
    }
    Err(JobError::new(
        Kind::Elsewhere,
        format!(
            "the plan was laid by another version ({asked}) than this machine has ({}): give all machines one version, or submit again with this one",
            own.join("; ")
        ),
    ))
}
