//! A request about something in an organisation: whether its caller may, and whether they see it at all.

use super::Caller;
use crate::api::App;
use crate::api::error::Refusal;
use crate::model::access::Level;
use crate::store::objects::ObjectError;

/// What is not there, answered as `missing` says; anything else went wrong and is no absence.
pub(super) fn absent(error: ObjectError, missing: impl Fn() -> Refusal) -> Refusal {
    match error {
        ObjectError::Missing(_) => missing(),
        other => other.into(),
    }
}

/// A request about something in an organisation.
pub(super) struct Asked<'a> {
    pub(super) app: &'a App,
    pub(super) org: &'a str,
    pub(super) caller: &'a Caller,
    pub(super) pattern: &'a str,
}

impl Asked<'_> {
    /// Whether the whole organisation is allowed, so that nothing has to be looked up.
    pub(super) fn is_allowed_everywhere(&self, level: Level) -> bool {
        self.caller.access.organization() >= Some(level)
    }

    pub(super) async fn project(&self, level: Level, id: &str) -> Result<(), Refusal> {
        if self.is_allowed_everywhere(level) {
            return Ok(());
        }
        // What is not seen is answered as what is not there: word for word.
        let missing = || {
            Refusal::missing(if self.pattern.ends_with("/envs") && level == Level::Read {
                format!("project {id} not found")
            } else {
                "project not found".to_owned()
            })
        };
        let project = self.app.store.project_get(self.org, id).await;
        let project = project.map_err(|error| absent(error, missing))?;
        if let Some(seen) = self.caller.seen()
            && !seen.projects.contains(&project.uuid)
        {
            return Err(missing());
        }
        if level == Level::Read || self.caller.access.project(&project.uuid) >= Some(level) {
            return Ok(());
        }
        Err(Refusal::forbidden(
            level,
            format!("project:{}", project.uuid),
        ))
    }

    pub(super) async fn environment(
        &self,
        level: Level,
        project: &str,
        id: &str,
    ) -> Result<(), Refusal> {
        if self.is_allowed_everywhere(level) {
            return Ok(());
        }
        let missing = || Refusal::missing("environment not found");
        let found = self.app.store.environment_get(self.org, project, id).await;
        let found = found.map_err(|error| absent(error, missing))?;
        self.seen_environment(level, &found.project_uuid, &found.uuid, missing)
    }

    pub(super) async fn deployment(&self, level: Level, id: &str) -> Result<(), Refusal> {
        if self.is_allowed_everywhere(level) {
            return Ok(());
        }
        let missing = || Refusal::missing(format!("deployment '{id}' not found"));
        let found = self.app.service.place_of(self.org, id).await?;
        let (project, environment) = found.ok_or_else(missing)?;
        self.seen_environment(level, &project, &environment, missing)
    }

    pub(super) fn seen_environment(
        &self,
        level: Level,
        project: &str,
        environment: &str,
        missing: impl Fn() -> Refusal,
    ) -> Result<(), Refusal> {
        match self.caller.environment(project, environment) {
            None => Err(missing()),
            Some(has) if has >= level => Ok(()),
            Some(_) => Err(Refusal::forbidden(level, format!("env:{environment}"))),
        }
    }
}
