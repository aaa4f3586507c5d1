//! What each route needs: one table, pure.

use axum::http::Method;

use crate::model::access::Level;

/// What a request needs before its handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: probes, and how one logs in.
    Open,
    /// A token of anybody.
    Anybody,
    /// Any grant in the organisation; lists are narrowed by their handlers.
    Member,
    /// A level on the organisation.
    Organization(Level),
    /// A level on the project of the path.
    Project(Level),
    /// A level on the environment of the path.
    Environment(Level),
    /// A level on the environment of the deployment of the path.
    Deployment(Level),
    /// A token of anybody; the handler looks whether they are invited or members.
    Invitation,
    /// The token of an agent.
    Agent,
    /// Any grant; what is needed beyond it is in the body, and the handler looks.
    Handler,
}

impl Need {
    /// The level, as it is said to who has none at all.
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Open | Self::Anybody | Self::Member | Self::Invitation | Self::Agent => {
                Level::Read
            }
            Self::Organization(level)
            | Self::Project(level)
            | Self::Environment(level)
            | Self::Deployment(level) => level,
            Self::Handler => Level::Write,
        }
    }
}

/// Routes that ask nobody who they are, by method and pattern.
pub(crate) const OPEN: &[(&str, &str)] = &[
    ("GET", "/alive"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    // The address holds a ticket.
    (
        "GET",
        "/provider-mirror/{ticket}/{host}/{namespace}/{provider}/{document}",
    ),
    ("POST", "/agents/enrol"),
    ("POST", "/auth/device"),
    ("GET", "/auth/sso/callback"),
    ("POST", "/auth/link"),
    ("POST", "/auth/login"),
    ("POST", "/auth/oidc/token"),
    ("POST", "/auth/register"),
    ("POST", "/auth/sso/login"),
    ("POST", "/devicelogins/{id}/actions/poll"),
];

/// Lists of people and programs, which take the whole organisation to look at.
const OF_PEOPLE: &[&str] = &[
    "/invitations",
    "/members",
    "/memberships",
    "/service-users",
    "/trust-rules",
    "/users",
];

/// What a route needs. Whatever is not named here is the platform team's: reading it takes any grant in the
/// organisation, changing it the whole of it.
pub(crate) fn need(method: &Method, pattern: &str) -> Need {
    let looks = [Method::GET, Method::HEAD].contains(method);
    let named = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    if OPEN.contains(&(named, pattern)) {
        return Need::Open;
    }
    if pattern.starts_with("/agents/self/") {
        return Need::Agent;
    }
    let Some(rest) = pattern.strip_prefix("/orgs/{org}") else {
        return Need::Anybody;
    };
    if let Some(rest) = rest.strip_prefix("/projects/{project}/envs/{env}") {
        return match (method.as_str(), rest) {
            _ if looks => Need::Environment(Level::Read),
            ("PATCH", "") => Need::Environment(Level::Manage),
            ("DELETE", "") => Need::Project(Level::Manage),
            (_, "/state/actions/import" | "/state/actions/dismiss" | "/state/actions/unlock") => {
                Need::Environment(Level::Write)
            }
            // A state holds values in clear, and an older one makes the engine want other things; where it lies is for
            // those to say who may look after it there.
            (_, rest) if rest.starts_with("/state/versions/") || rest == "/state/actions/move" => {
                Need::Environment(Level::Manage)
            }
            _ => Need::Organization(Level::Manage),
        };
    }
    if let Some(rest) = rest.strip_prefix("/projects/{project}") {
        return match (method.as_str(), rest) {
            _ if looks => Need::Project(Level::Read),
            ("PATCH", "") | ("POST", "/envs") => Need::Project(Level::Manage),
            _ => Need::Organization(Level::Manage),
        };
    }
    if let Some(rest) = rest.strip_prefix("/deployments/{id}") {
        return match rest {
            // Both show the configuration of providers.
            "/tf" | "/bundle" if looks => Need::Organization(Level::Read),
            _ if looks => Need::Deployment(Level::Read),
            // A comparison changes nothing; it is a POST in v1.
            "/actions/diff" => Need::Deployment(Level::Read),
            _ => Need::Deployment(Level::Write),
        };
    }
    match (method.as_str(), rest) {
        ("GET" | "HEAD", "/audit-log") => Need::Organization(Level::Manage),
        _ if looks && OF_PEOPLE.contains(&rest) => Need::Organization(Level::Read),
        ("GET" | "HEAD", "/invitations/{id}") => Need::Invitation,
        _ if looks => Need::Member,
        ("POST", "/deployments") => Need::Handler,
        ("POST", "/invitations/{id}/actions/redeem") => Need::Invitation,
        _ => Need::Organization(Level::Manage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changing_what_is_not_named_takes_the_organisation() {
        for (method, pattern, expected) in [
            (
                Method::POST,
                "/orgs/{org}/modules",
                Need::Organization(Level::Manage),
            ),
            (Method::GET, "/orgs/{org}/modules", Need::Member),
            (
                Method::DELETE,
                "/orgs/{org}/projects/{project}",
                Need::Organization(Level::Manage),
            ),
            (
                Method::DELETE,
                "/orgs/{org}/projects/{project}/envs/{env}",
                Need::Project(Level::Manage),
            ),
            (
                Method::POST,
                "/orgs/{org}/something/new",
                Need::Organization(Level::Manage),
            ),
            (
                Method::GET,
                "/orgs/{org}/deployments/{id}/bundle",
                Need::Organization(Level::Read),
            ),
            (Method::GET, "/health", Need::Open),
            (Method::POST, "/auth/device", Need::Open),
            (Method::GET, "/devicelogins/{id}", Need::Anybody),
            (
                Method::GET,
                "/orgs/{org}/audit-log",
                Need::Organization(Level::Manage),
            ),
            (
                Method::GET,
                "/orgs/{org}/service-users",
                Need::Organization(Level::Read),
            ),
            (Method::POST, "/health", Need::Anybody),
            (Method::POST, "/agents/enrol", Need::Open),
            (Method::POST, "/agents/self/messages", Need::Agent),
            (
                Method::POST,
                "/orgs/{org}/agent-tokens",
                Need::Organization(Level::Manage),
            ),
        ] {
            assert_eq!(need(&method, pattern), expected, "{method} {pattern}");
        }
    }
}
