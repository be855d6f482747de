//! Versions that go together: all machines of a farm carry out a plan with the
//! Longtake that it was laid with, or not at all.

use super::error::{JobError, Kind};
use crate::engine::Engine as _;
use crate::engine::plate::PlateEngine;

/// The version of the plans that this Longtake lays, as `plate 3, longtake 0.1.0`:
/// the engine's, which names pixels, and the program's, which names files.
pub fn plan_version() -> String {
    version_of(PlateEngine::default().version(), env!("CARGO_PKG_VERSION"))
}

/// The two versions as one text.
pub(super) fn version_of(engine: &str, longtake: &str) -> String {
    format!("{engine}, longtake {longtake}")
}

/// Checks that a plan of version `asked` can be carried out here.
///
/// # Errors
/// Where it was laid by another Longtake: parts of one take would differ.
pub fn check_version(asked: &str) -> Result<(), JobError> {
    let own = plan_version();
    if asked == own {
        return Ok(());
    }
    Err(JobError::new(
        Kind::Elsewhere,
        format!(
            "the plan was laid by another version ({asked}) than this machine has ({own}): give all machines one version, or submit again with this one"
        ),
    ))
}
