//! Grants: a role of a user in an organisation, on all of it or a part.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::access::{Role, Scope, Visible};
use crate::store::objects::ObjectError;
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError, clock};

/// A role and where it holds; sorted by scope, then role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Granted {
    /// Where.
    pub(crate) scope: Scope,
    /// What.
    pub(crate) role: Role,
}

impl Granted {
    /// As stored. A role or scope that this program does not know allows nothing, and is not listed.
    pub(super) fn stored(role: &str, scope: &str) -> Option<Self> {
        Some(Self {
            scope: Scope::parse(scope).ok()?,
            role: Role::parse(role)?,
        })
    }
}

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

/// Gives a user these roles in an organisation and no others. Each may be given once, and what its scope names must be
/// there.
pub(crate) async fn replace(
    connection: &mut Connection,
    org: &str,
    user: &str,
    roles: &[Granted],
    by: &str,
) -> Result<(), ObjectError> {
    let once: BTreeSet<&Granted> = roles.iter().collect();
    if once.len() < roles.len() {
        return Err(ObjectError::conflict(
            "the same role is assigned twice in the same scope",
        ));
    }
    sql::query("DELETE FROM grants WHERE org_id = $1 AND user_id = $2")
        .bind(org)
        .bind(user)
        .execute(connection)
        .await?;
    for granted in once {
        require_scope(connection, org, &granted.scope).await?;
        insert(connection, org, user, granted.role, &granted.scope, by).await?;
    }
    Ok(())
}

/// Refuses a scope that names nothing of the organisation.
pub(crate) async fn require_scope(
    connection: &mut Connection,
    org: &str,
    scope: &Scope,
) -> Result<(), ObjectError> {
    let (what, query, uuid) = match scope {
        Scope::Organization => return Ok(()),
        Scope::Project(uuid) => (
            "project",
            sql::query("SELECT 1 FROM projects WHERE org_id = $1 AND uuid = $2"),
            uuid,
        ),
        Scope::Environment(uuid) => (
            "env",
            sql::query("SELECT 1 FROM environments WHERE org_id = $1 AND uuid = $2"),
            uuid,
        ),
    };
    let found: Option<i64> = query
        .bind(org)
        .bind(uuid)
        .fetch_optional(connection)
        .await?;
    if found.is_some() {
        return Ok(());
    }
    Err(ObjectError::Invalid {
        pointer: "",
        message: format!("{what} in the scope '{}' does not exist", scope.text()),
    })
}

/// The roles of some users in an organisation, sorted.
pub(crate) async fn of_users(
    connection: &mut Connection,
    org: &str,
    users: &[String],
) -> Result<BTreeMap<String, Vec<Granted>>, StoreError> {
    let mut found: BTreeMap<String, Vec<Granted>> = BTreeMap::new();
    if users.is_empty() {
        return Ok(found);
    }
    let mut query = Builder::new("SELECT user_id, role, scope FROM grants WHERE org_id = ");
    query.push_bind(org.to_owned());
    query.push(" AND user_id IN (");
    query.push_values(users.iter().cloned()).push(")");
    let rows: Vec<(String, String, String)> = query.build().fetch_all(connection).await?;
    for (user, role, scope) in rows {
        if let Some(granted) = Granted::stored(&role, &scope) {
            found.entry(user).or_default().push(granted);
        }
    }
    for granted in found.values_mut() {
        granted.sort();
    }
    Ok(found)
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

/// Keeps the rules of a query that name no project, or one that is seen: a rule says that what it names is there.
pub(crate) fn keep_rules(query: &mut Builder<'_>, org: &str, seen: Option<&Seen>) {
    let Some(seen) = seen else {
        return;
    };
    query.push(
        " AND (project_id = '' OR project_id IN (SELECT o.id FROM projects o WHERE o.org_id = ",
    );
    query.push_bind(org.to_owned());
    keep_only(query, "o.uuid", Some(&seen.projects));
    query.push("))");
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
