//! Grants: a role of a user in an organisation, on all of it or a part.

use std::collections::BTreeSet;

use crate::model::access::{Role, Scope, Visible};
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError, clock};

/// Grants a role; granting it again changes nothing.
pub(crate) async fn insert(
    connection: &mut Connection,
    org: &str,
    user: &str,
    role: Role,
    scope: &Scope,
    by: &str,
) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO grants (id, org_id, user_id, role, scope, created_us, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (org_id, user_id, role, scope) DO NOTHING",
    )
    .bind(clock::new_id())
    .bind(org)
    .bind(user)
    .bind(role.name())
    .bind(scope.text())
    .bind(clock::now_us())
    .bind(by)
    .execute(connection)
    .await?;
    Ok(())
}

/// What somebody sees who does not see the whole organisation: by UUID, ends of grants resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Projects with anything in them that is seen.
    pub(crate) projects: BTreeSet<String>,
    /// Environments.
    pub(crate) environments: BTreeSet<String>,
}

/// Keeps the rows of a query whose `column` is one of `uuids`.
pub(crate) fn keep_only(
    query: &mut Builder<'_>,
    column: &'static str,
    uuids: Option<&BTreeSet<String>>,
) {
    let Some(uuids) = uuids else {
        return;
    };
    if uuids.is_empty() {
        query.push(" AND 0 = 1");
        return;
    }
    query.push(" AND ").push(column).push(" IN (");
    query.push_values(uuids.iter().cloned()).push(")");
}

impl Store {
    /// Resolves what is visible in an organisation; `None` is everything.
    pub(crate) async fn seen(
        &self,
        org: &str,
        visible: &Visible,
    ) -> Result<Option<Seen>, StoreError> {
        let Visible::Only {
            projects,
            environments,
        } = visible
        else {
            return Ok(None);
        };
        let mut reading = self.reading().await?;
        let mut query = Builder::new(
            "SELECT e.uuid, p.uuid FROM environments e \
             JOIN projects p ON p.org_id = e.org_id AND p.id = e.project_id WHERE e.org_id = ",
        );
        query.push_bind(org.to_owned());
        query.push(" AND ((1 = 1");
        keep_only(&mut query, "p.uuid", Some(projects));
        query.push(") OR (1 = 1");
        keep_only(&mut query, "e.uuid", Some(environments));
        query.push("))");
        let rows: Vec<(String, String)> = query.build().fetch_all(&mut reading).await?;
        let mut seen = Seen {
            projects: projects.clone(),
            environments: BTreeSet::new(),
        };
        for (environment, project) in rows {
            seen.environments.insert(environment);
            seen.projects.insert(project);
        }
        Ok(Some(seen))
    }
}
