//! What requests about users look like. For the document of the API only; they are read and checked field by field,
//! all problems at once, in `api`.

#![expect(
    dead_code,
    reason = "types that describe; nothing is ever read into them"
)]

use std::collections::BTreeMap;

use utoipa::ToSchema;

use super::identity::SubjectType;

/// A role that is to be given.
#[derive(ToSchema)]
pub(crate) struct RoleToGrant {
    #[schema(format = Uuid)]
    id: String,
    /// `project:UUID` or `env:UUID`; the whole organisation where nothing is said.
    scope: Option<String>,
}

/// `POST /orgs/{o}/service-users`.
#[derive(ToSchema)]
pub(crate) struct ServiceUserCreate {
    #[schema(min_length = 2, max_length = 200)]
    display_name: String,
    #[schema(minimum = 1, maximum = 3660)]
    expiry_in_days: i64,
    /// Admin of the organisation where nothing is said.
    roles: Option<Vec<RoleToGrant>>,
}

/// `POST /orgs/{o}/service-users/{id}/actions/regenerate`.
#[derive(ToSchema)]
pub(crate) struct ServiceUserRegenerate {
    #[schema(minimum = 1, maximum = 3660)]
    expiry_in_days: i64,
}

/// `PUT /orgs/{o}/service-users/{id}`.
#[derive(ToSchema)]
pub(crate) struct ServiceUserRoles {
    #[schema(min_items = 1)]
    roles: Vec<RoleToGrant>,
}

/// `POST /orgs/{o}/users`.
#[derive(ToSchema)]
pub(crate) struct UserCreate {
    #[schema(min_length = 2, max_length = 200)]
    display_name: String,
    /// Whoever proves to have this address by single sign-on is this person.
    #[schema(min_length = 3, max_length = 320)]
    email_address: Option<String>,
    #[schema(min_items = 1)]
    roles: Vec<RoleToGrant>,
}

/// `PUT /orgs/{o}/users/{u}/memberships`.
#[derive(ToSchema)]
pub(crate) struct UserMemberships {
    #[schema(min_items = 1)]
    memberships: Vec<MembershipToGrant>,
}

/// A membership that is to be.
#[derive(ToSchema)]
pub(crate) struct MembershipToGrant {
    subject_type: SubjectType,
    /// The id of a role, or `owners`.
    subject: String,
    /// `project:UUID` or `env:UUID`; the whole organisation where nothing is said.
    scope: Option<String>,
}

/// `POST /orgs/{o}/invitations`.
#[derive(ToSchema)]
pub(crate) struct InvitationCreate {
    #[schema(min_length = 3, max_length = 320)]
    email_address: String,
    membership_subject_type: SubjectType,
    /// The id of a role, or `owners`.
    membership_subject: String,
    /// 7 where nothing is said.
    #[schema(minimum = 1, maximum = 3660)]
    expiry_in_days: Option<i64>,
    windlass: Option<InvitationCreateExtras>,
}

/// What v1's invitations have not.
#[derive(ToSchema)]
pub(crate) struct InvitationCreateExtras {
    /// `project:UUID` or `env:UUID`; the whole organisation where nothing is said.
    scope: Option<String>,
}

/// `POST /auth/link`.
#[derive(ToSchema)]
pub(crate) struct LinkToken {
    /// What follows `#` in the link.
    token: String,
}

/// `POST /auth/sso/login`.
#[derive(ToSchema)]
pub(crate) struct SignOnBegin {
    /// Means nothing here: one issuer serves all organisations.
    org_id: Option<String>,
}

/// `POST /auth/login` and `POST /auth/register`.
#[derive(ToSchema)]
pub(crate) struct ProviderToken {
    provider: String,
    provider_token: String,
}

/// `POST /auth/device`: nothing is asked.
#[derive(ToSchema)]
pub(crate) struct DeviceLoginCreate {}

/// `POST /orgs/{o}/trust-rules`.
#[derive(ToSchema)]
pub(crate) struct TrustRuleCreate {
    #[schema(min_length = 2, max_length = 200)]
    display_name: String,
    /// An https URL; its discovery document names its keys.
    issuer: String,
    /// For whom a token must be made; this server's public URL where nothing is said.
    audience: Option<String>,
    /// What claims must be; `*` stands for any text.
    claims: BTreeMap<String, String>,
    #[schema(min_items = 1)]
    roles: Vec<RoleToGrant>,
    /// 15 where nothing is said.
    #[schema(minimum = 1, maximum = 60)]
    minutes: Option<i64>,
}

/// `POST /auth/oidc/token`.
#[derive(ToSchema)]
pub(crate) struct WorkloadTokenRequest {
    organization: String,
    /// What the issuer signed.
    token: String,
}
