//! temporary
use super::{HostSettings, LaunchError, image::Built};
pub(crate) async fn build_image(
    _host: &HostSettings,
    _engine: Option<&str>,
    _say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Built, LaunchError> {
    Err(LaunchError {
        class: crate::model::phase::FailureClass::Internal,
        message: String::new(),
        transient: false,
    })
}
