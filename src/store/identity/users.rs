//! Users: people, and programs with a token.

use super::grants::Granted;
use super::{Kind, grants, tokens};
use crate::model::access::{Role, Scope};
use crate::store::identity::tokens::Secret;
use crate::store::objects::{ObjectError, organization_known};
use crate::store::sql::{self, Connection, Row};
use crate::store::{Store, StoreError, clock};

/// A user that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewUser<'a> {
    /// What kind.
    pub(crate) kind: Kind,
    /// The name that people see.
    pub(crate) name: &'a str,
    /// Their address in lower case, where it is known; nobody else's.
    pub(crate) email: Option<&'a str>,
    /// Who makes it.
    pub(crate) by: &'a str,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The user.
    pub(crate) id: String,
    /// Their name.
    pub(crate) name: String,
    /// Their address, where it is known.
    pub(crate) email: Option<String>,
    /// When they were let in.
    pub(crate) created_us: i64,
    /// When they last logged in.
    pub(crate) logged_in_us: Option<i64>,
    /// Whether they have signed in at an issuer.
    pub(crate) signs_on: bool,
}

fn missing() -> ObjectError {
    ObjectError::missing("user not found")
}

async fn read_person(connection: &mut Connection, id: &str) -> Result<Option<Person>, StoreError> {
    let row: Option<Row> = sql::query(
        "SELECT id, name, email, created_us, logged_in_us, \
         (SELECT COUNT(*) FROM sso_subjects WHERE user_id = users.id) AS subjects \
         FROM users WHERE id = $1 AND kind = 'person'",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Person {
            id: row.get("id")?,
            name: row.get("name")?,
            email: row.get("email")?,
            created_us: row.get("created_us")?,
            logged_in_us: row.get("logged_in_us")?,
            signs_on: row.get::<i64>("subjects")? > 0,
        })
    })
    .transpose()
}

/// A new user id: a `UUIDv7` whose third group begins `71` for a person and `72` for a service user, as clients of
/// the contract expect.
pub(crate) fn new_user_id(kind: Kind) -> String {
    let mut bytes = *uuid::Uuid::now_v7().as_bytes();
    bytes[6] = match kind {
        Kind::Person => 0x71,
        Kind::Service => 0x72,
    };
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// Makes a user; a service user belongs to `org`.
pub(crate) async fn insert(
    connection: &mut Connection,
    org: Option<&str>,
    user: &NewUser<'_>,
) -> Result<String, StoreError> {
    let id = new_user_id(user.kind);
    sql::query(
        "INSERT INTO users (id, kind, org_id, name, email, created_us, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&id)
    .bind(user.kind.word())
    .bind(org)
    .bind(user.name)
    .bind(user.email)
    .bind(clock::now_us())
    .bind(user.by)
    .execute(connection)
    .await?;
    Ok(id)
}

/// The person of an address.
pub(super) async fn of_email(
    connection: &mut Connection,
    email: &str,
) -> Result<Option<String>, StoreError> {
    Ok(
        sql::query("SELECT id FROM users WHERE email = $1 AND kind = 'person'")
            .bind(email)
            .fetch_optional(connection)
            .await?,
    )
}

impl Store {
    /// One person.
    pub(crate) async fn person_get(&self, id: &str) -> Result<Option<Person>, StoreError> {
        let mut reading = self.reading().await?;
        read_person(&mut reading, id).await
    }

    /// Makes a person with roles in an organisation, and a token that opens their first session, once.
    pub(crate) async fn person_create(
        &self,
        org: &str,
        person: &NewUser<'_>,
        roles: &[Granted],
        link: (&Secret, i64),
    ) -> Result<Person, ObjectError> {
        let mut writing = self.writing().await?;
        if !organization_known(&mut writing, org).await? {
            return Err(ObjectError::missing("organization not found"));
        }
        if let Some(email) = person.email
            && of_email(&mut writing, email).await?.is_some()
        {
            return Err(ObjectError::conflict(format!(
                "somebody has the e-mail address {email} already; invite them into this organization"
            )));
        }
        let by = person.by;
        let id = insert(&mut writing, None, person).await?;
        grants::replace(&mut writing, org, &id, roles, by).await?;
        tokens::keep(&mut writing, link.0, &id, tokens::Kind::Link, by, link.1).await?;
        let made = read_person(&mut writing, &id).await?.ok_or_else(missing)?;
        writing.commit().await?;
        Ok(made)
    }

    /// Gives a member another link; those before are over. Whoever is in other organisations gets none from this one:
    /// whoever holds the link acts as that person there, too.
    pub(crate) async fn person_link(
        &self,
        org: &str,
        id: &str,
        by: &str,
        link: (&Secret, i64),
    ) -> Result<Person, ObjectError> {
        let mut writing = self.writing().await?;
        let organizations: Vec<String> =
            sql::query("SELECT DISTINCT org_id FROM grants WHERE user_id = $1")
                .bind(id)
                .fetch_all(&mut writing)
                .await?;
        let person = read_person(&mut writing, id).await?;
        let person = person
            .filter(|_| organizations.iter().any(|member| member == org))
            .ok_or_else(missing)?;
        if organizations.len() > 1 {
            return Err(ObjectError::conflict(
                "the user is a member of other organizations, too, and a link of one would open all of them",
            ));
        }
        tokens::forget_all(&mut writing, id, tokens::Kind::Link).await?;
        tokens::keep(&mut writing, link.0, id, tokens::Kind::Link, by, link.1).await?;
        writing.commit().await?;
        Ok(person)
    }

    /// Sees to it that an organisation has a service user of this name whose token is this one, and who administers
    /// it. Doing it again changes nothing; another token for the same name replaces the first.
    pub(crate) async fn bootstrap(
        &self,
        org: &str,
        name: &str,
        secret: &Secret,
        expires_us: i64,
        by: &str,
    ) -> Result<(), StoreError> {
        let mut writing = self.writing().await?;
        crate::store::objects::organizations::ensure(&mut writing, org).await?;
        let there: Option<String> = sql::query(
            "SELECT id FROM users WHERE org_id = $1 AND kind = 'service' AND name = $2 AND created_by = $3",
        )
        .bind(org)
        .bind(name)
        .bind(by)
        .fetch_optional(&mut writing)
        .await?;
        let user = match there {
            Some(user) => user,
            None => {
                let user = NewUser {
                    kind: Kind::Service,
                    name,
                    email: None,
                    by,
                };
                let id = insert(&mut writing, Some(org), &user).await?;
                grants::insert(
                    &mut writing,
                    org,
                    &id,
                    Role::Admin,
                    &Scope::Organization,
                    by,
                )
                .await?;
                id
            }
        };
        let known: Option<i64> =
            sql::query("SELECT 1 FROM tokens WHERE hash = $1 AND user_id = $2")
                .bind(secret.hash())
                .bind(&user)
                .fetch_optional(&mut writing)
                .await?;
        if known.is_none() {
            tokens::forget_all(&mut writing, &user, tokens::Kind::Service).await?;
            tokens::keep(
                &mut writing,
                secret,
                &user,
                tokens::Kind::Service,
                by,
                expires_us,
            )
            .await?;
        }
        writing.commit().await
    }

    /// Whether anybody has ever logged in, or a program may.
    pub(crate) async fn is_anybody_in(&self) -> Result<bool, StoreError> {
        let mut reading = self.reading().await?;
        let found: Option<i64> = sql::query(
            "SELECT 1 FROM users WHERE kind = 'service' OR logged_in_us IS NOT NULL LIMIT 1",
        )
        .fetch_optional(&mut reading)
        .await?;
        Ok(found.is_some())
    }

    /// Forgets the people that `by` made and who never logged in, with their links.
    pub(crate) async fn forget_first_person(&self, by: &str) -> Result<(), StoreError> {
        let mut writing = self.writing().await?;
        sql::query(
            "DELETE FROM users WHERE kind = 'person' AND created_by = $1 AND logged_in_us IS NULL",
        )
        .bind(by)
        .execute(&mut writing)
        .await?;
        writing.commit().await
    }
}
