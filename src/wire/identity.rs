//! Who may do what, as v1 has it: users, service users, roles, memberships, sessions, and programs that log in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A role of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoleObject {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) display_name: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = Uuid)]
    pub(crate) created_by: String,
    pub(crate) permissions: Vec<String>,
}

/// A role, and where it holds: empty for the whole organisation, `project:UUID` or `env:UUID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct GrantedRole {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) scope: String,
}

/// A service user; its token is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ServiceUser {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) display_name: String,
    /// When the token was made.
    #[schema(format = DateTime)]
    pub(crate) generated_at: String,
    #[schema(format = Uuid)]
    pub(crate) generated_by: String,
    #[schema(format = DateTime)]
    pub(crate) current_token_expires_at: String,
    pub(crate) roles: Vec<GrantedRole>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<TokenExtras>,
}

/// What v1 does not tell of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TokenExtras {
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) last_used_at: Option<String>,
}

/// A service user and its token, which is shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ServiceUserWithToken {
    #[serde(flatten)]
    pub(crate) user: ServiceUser,
    pub(crate) token: String,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct User {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) display_name: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) last_logged_in_at: Option<String>,
    pub(crate) login_providers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) primary_email_address: Option<String>,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct CurrentUser {
    #[serde(flatten)]
    pub(crate) user: User,
    pub(crate) organization_memberships: Vec<OrganizationId>,
    pub(crate) dismissed_prompts: Vec<String>,
}

/// An organisation, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct OrganizationId {
    pub(crate) id: String,
}

/// A person who was let in, and the link that opens their first session, which is shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct UserWithLink {
    #[serde(flatten)]
    pub(crate) user: User,
    pub(crate) link: String,
    #[schema(format = DateTime)]
    pub(crate) link_expires_at: String,
}

/// A role of a person in an organisation, as the organisation sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct OrgMembership {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = Uuid)]
    pub(crate) user_id: String,
    pub(crate) user_display_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_primary_email_address: Option<String>,
    #[schema(value_type = SubjectType)]
    pub(crate) subject_type: String,
    pub(crate) subject: String,
    pub(crate) scope: String,
    /// Only where members are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity_providers: Option<Vec<String>>,
}

/// The same as the person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UserMembership {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    pub(crate) org_id: String,
    #[schema(value_type = SubjectType)]
    pub(crate) subject_type: String,
    pub(crate) subject: String,
    pub(crate) scope: String,
}

/// A session, without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SessionToken {
    pub(crate) hash: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
    pub(crate) provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<TokenExtras>,
}

/// Whether somebody has a permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PermissionCheck {
    /// `organization:ID`, `project:UUID` or `env:UUID`.
    pub(crate) resource: String,
    /// `read`, `write` or `manage`.
    pub(crate) permission: String,
}

/// The answer to one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PermissionAnswer {
    pub(crate) permission_check: PermissionCheck,
    pub(crate) allowed: bool,
}

/// The answers, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PermissionAnswers {
    pub(crate) items: Vec<PermissionAnswer>,
}

/// Who may do something in a project or an environment: their highest role there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UserWithRole {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    /// `user` or `service-user`.
    #[serde(rename = "type")]
    #[schema(value_type = UserKind)]
    pub(crate) kind: String,
    #[schema(value_type = SubjectType)]
    pub(crate) subject_type: String,
    #[schema(format = Uuid)]
    pub(crate) subject_id: String,
}

/// A program that asked to be let in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeviceLoginCreated {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
    /// Redeems the session; only the program has it.
    pub(crate) polling_token: String,
    /// Where a person lets it in.
    pub(crate) approval_url: String,
    /// `ABC-DEF`.
    pub(crate) code: String,
}

/// The same, as the person sees it who is to let it in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeviceLogin {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
    pub(crate) user_agent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_ip: Option<String>,
}

/// The same, let in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeviceLoginAccepted {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
    pub(crate) token: String,
    #[schema(format = DateTime)]
    pub(crate) token_expires_at: String,
}

/// Somebody who may join an organisation.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Invitation {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
    #[schema(format = Uuid)]
    pub(crate) created_by: String,
    pub(crate) created_by_display_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by_primary_email_address: Option<String>,
    pub(crate) email_address: String,
    #[schema(value_type = SubjectType)]
    pub(crate) membership_subject_type: String,
    pub(crate) membership_subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<InvitationExtras>,
}

/// What v1's invitations have not.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct InvitationExtras {
    /// `project:UUID` or `env:UUID`; the whole organisation where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    /// Takes the invitation up; only when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
}

/// Where somebody signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SignOnBegun {
    /// At the issuer; it sends them back to this server's page.
    pub(crate) redirect_url: String,
}

/// Whom an organisation trusts to say which programs act in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TrustRule {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) display_name: String,
    /// Who signs.
    pub(crate) issuer: String,
    /// For whom a token must be made.
    pub(crate) audience: String,
    /// What claims must be; `*` stands for any text.
    pub(crate) claims: BTreeMap<String, String>,
    pub(crate) roles: Vec<GrantedRole>,
    /// How long a token serves.
    pub(crate) minutes: i64,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = Uuid)]
    pub(crate) created_by: String,
}

/// A short token.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct WorkloadToken {
    pub(crate) token: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
}

/// What a membership is of, for the document of the API.
#[expect(dead_code, reason = "describes; texts are checked where they are read")]
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SubjectType {
    /// A role.
    Role,
    /// A group that always is; `owners` is the role Admin.
    VirtualGroup,
}

/// What kind of user, for the document of the API.
#[expect(dead_code, reason = "describes; texts are made where they are written")]
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UserKind {
    /// A person.
    User,
    /// A program.
    ServiceUser,
}
