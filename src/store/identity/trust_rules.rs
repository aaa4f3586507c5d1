//! Trust rules: whose signed tokens are changed into short tokens of an organisation, and what those may do.
//!
//! Each rule has a service user of its own; it goes with the rule, and every token with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Kind;
use super::grants::{self, Granted};
use super::tokens::{self, Secret};
use super::users::{self, NewUser};
use crate::store::objects::{Listed, ObjectError, Paging, organization_known};
use crate::store::sql::{self, Builder, Connection, Row};
use crate::store::{Store, StoreError, clock};

/// What a token has to say to be trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Demands {
    /// For whom it was made.
    pub(crate) audience: String,
    /// Claims and what they must be; `*` stands for any text. `sub` is one of them.
    pub(crate) claims: BTreeMap<String, String>,
    /// How long a token serves that is given for it.
    pub(crate) minutes: i64,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrustRule {
    /// Its id.
    pub(crate) id: String,
    /// The service user that it makes callers to.
    pub(crate) user: String,
    /// Its name.
    pub(crate) name: String,
    /// Who signs.
    pub(crate) issuer: String,
    /// What else must hold.
    pub(crate) demands: Demands,
    /// When it was made.
    pub(crate) created_us: i64,
    /// By whom.
    pub(crate) created_by: String,
    /// What its tokens may do.
    pub(crate) roles: Vec<Granted>,
}

/// A rule that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewTrustRule<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Who signs.
    pub(crate) issuer: &'a str,
    /// What else must hold.
    pub(crate) demands: &'a Demands,
    /// What its tokens may do.
    pub(crate) roles: &'a [Granted],
    /// Who makes it.
    pub(crate) by: &'a str,
}

async fn read(
    connection: &mut Connection,
    org: &str,
    issuer: Option<&str>,
    paging: &Paging,
) -> Result<Listed<TrustRule>, StoreError> {
    let after = paging.after.as_ref().and_then(|key| key.first());
    let mut query = Builder::new(
        "SELECT r.id, r.user_id, u.name, r.issuer, r.created_us, r.created_by, r.body FROM trust_rules r \
         JOIN users u ON u.id = r.user_id WHERE r.org_id = ",
    );
    query.push_bind(org.to_owned());
    query
        .push(" AND r.id > ")
        .push_bind(after.cloned().unwrap_or_default());
    if let Some(issuer) = issuer {
        query.push(" AND r.issuer = ").push_bind(issuer.to_owned());
    }
    let limit = i64::try_from(paging.limit.saturating_add(1)).unwrap_or(i64::MAX);
    query.push(" ORDER BY r.id LIMIT ").push_bind(limit);
    let rows: Vec<Row> = query.build().fetch_all(connection).await?;
    let more = rows.len() > paging.limit;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows.iter().take(paging.limit) {
        items.push(TrustRule {
            id: row.get("id")?,
            user: row.get("user_id")?,
            name: row.get("name")?,
            issuer: row.get("issuer")?,
            demands: serde_json::from_str(row.text("body")?)
                .map_err(|source| StoreError::document("a trust rule", source))?,
            created_us: row.get("created_us")?,
            created_by: row.get("created_by")?,
            roles: Vec::new(),
        });
    }
    let users: Vec<String> = items.iter().map(|rule| rule.user.clone()).collect();
    let mut granted = grants::of_users(connection, org, &users).await?;
    for rule in &mut items {
        rule.roles = granted.remove(&rule.user).unwrap_or_default();
    }
    let next = items.last().filter(|_| more);
    Ok(Listed {
        next: next.map(|rule: &TrustRule| vec![rule.id.clone()]),
        items,
    })
}

impl Store {
    /// Rules by id; `issuer` keeps some.
    pub(crate) async fn trust_rule_list(
        &self,
        org: &str,
        issuer: Option<&str>,
        paging: &Paging,
    ) -> Result<Listed<TrustRule>, StoreError> {
        let mut reading = self.reading().await?;
        read(&mut reading, org, issuer, paging).await
    }

    /// Makes a rule and its service user.
    pub(crate) async fn trust_rule_create(
        &self,
        org: &str,
        new: &NewTrustRule<'_>,
    ) -> Result<TrustRule, ObjectError> {
        let mut writing = self.writing().await?;
        if !organization_known(&mut writing, org).await? {
            return Err(ObjectError::conflict("organization not found"));
        }
        let user = NewUser {
            kind: Kind::Service,
            name: new.name,
            email: None,
            by: new.by,
        };
        let user = users::insert(&mut writing, Some(org), &user).await?;
        grants::replace(&mut writing, org, &user, new.roles, new.by).await?;
        let mut roles = new.roles.to_vec();
        roles.sort();
        let rule = TrustRule {
            id: clock::new_id(),
            user,
            name: new.name.to_owned(),
            issuer: new.issuer.to_owned(),
            demands: new.demands.clone(),
            created_us: clock::now_us(),
            created_by: new.by.to_owned(),
            roles,
        };
        let body = serde_json::to_string(&rule.demands)
            .map_err(|source| StoreError::document("a trust rule", source))?;
        sql::query(
            "INSERT INTO trust_rules (id, org_id, user_id, issuer, created_us, created_by, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&rule.id)
        .bind(org)
        .bind(&rule.user)
        .bind(&rule.issuer)
        .bind(rule.created_us)
        .bind(&rule.created_by)
        .bind(body)
        .execute(&mut writing)
        .await?;
        writing.commit().await?;
        Ok(rule)
    }

    /// Removes a rule with its service user; tokens given for it are over.
    pub(crate) async fn trust_rule_delete(&self, org: &str, id: &str) -> Result<(), ObjectError> {
        let mut writing = self.writing().await?;
        let removed = sql::query(
            "DELETE FROM users WHERE id IN (SELECT user_id FROM trust_rules WHERE org_id = $1 AND id = $2)",
        )
        .bind(org)
        .bind(id)
        .execute(&mut writing)
        .await?;
        if removed == 0 {
            return Err(ObjectError::missing("trust rule not found"));
        }
        writing.commit().await?;
        Ok(())
    }

    /// Keeps a short token of a rule; those that are over are forgotten on the way.
    pub(crate) async fn trust_token(
        &self,
        rule: &TrustRule,
        secret: &Secret,
        expires_us: i64,
    ) -> Result<(), StoreError> {
        let mut writing = self.writing().await?;
        sql::query(
            "DELETE FROM tokens WHERE user_id = $1 AND kind = 'workload' AND expires_us <= $2",
        )
        .bind(&rule.user)
        .bind(clock::now_us())
        .execute(&mut writing)
        .await?;
        let kind = tokens::Kind::Workload;
        tokens::keep(
            &mut writing,
            secret,
            &rule.user,
            kind,
            &rule.user,
            expires_us,
        )
        .await?;
        writing.commit().await
    }
}
