//! Who may do what: levels, scopes, and the one pure function that joins them.
//!
//! A level includes the ones below it; a grant on the organisation holds for its projects, one on a project for its
//! environments. Roles are names for levels. What has no grant at all is not seen, which callers answer as absence.

use std::collections::BTreeSet;

/// How much; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Level {
    /// Look.
    Read,
    /// Deploy.
    Write,
    /// Change and remove.
    Manage,
}

impl Level {
    /// The word in a failed check, `manage`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
        }
    }

    /// Reads [`Level::word`].
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Manage]
            .into_iter()
            .find(|level| level.word() == word)
    }
}

/// The roles that every organisation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Everything.
    Admin,
    /// Looks and deploys.
    Deployer,
    /// Looks.
    Viewer,
}

impl Role {
    /// All of them, in the order in which they are listed.
    pub(crate) const ALL: [Self; 3] = [Self::Admin, Self::Deployer, Self::Viewer];

    /// The name that people see, and that is stored.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::Deployer => "Deployer",
            Self::Viewer => "Viewer",
        }
    }

    /// What it allows.
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Admin => Level::Manage,
            Self::Deployer => Level::Write,
            Self::Viewer => Level::Read,
        }
    }

    /// Reads [`Role::name`].
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Where a grant holds. Projects and environments are named by UUID, so that one made again under an old name is
/// not opened by an old grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// The whole organisation.
    Organization,
    /// One project and its environments.
    Project(String),
    /// One environment.
    Environment(String),
}

impl Scope {
    /// The text on the wire and in the database: empty, `project:UUID`, `env:UUID`.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Organization => String::new(),
            Self::Project(uuid) => format!("project:{uuid}"),
            Self::Environment(uuid) => format!("env:{uuid}"),
        }
    }

    /// Reads [`Scope::text`]; the error names the part that is wrong, in v1's words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Organization);
        }
        let Some((kind, id)) = text.split_once(':') else {
            return Err(format!(
                "invalid scope format '{text}', expected project:UUID or env:UUID"
            ));
        };
        if !is_uuid(id) {
            return Err(format!("invalid resource id in scope '{text}'"));
        }
        match kind {
            "project" => Ok(Self::Project(id.to_owned())),
            "env" => Ok(Self::Environment(id.to_owned())),
            _ => Err(format!("invalid resource kind in scope '{text}'")),
        }
    }
}

/// Whether a text is a UUID in lower case with hyphens.
fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts
            .concat()
            .chars()
            .all(|letter| matches!(letter, '0'..='9' | 'a'..='f'))
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// How much.
    pub(crate) level: Level,
    /// Where.
    pub(crate) scope: Scope,
}

/// What somebody may do in one organisation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access(Vec<Grant>);

/// Which projects and environments somebody sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Visible {
    /// All of the organisation.
    All,
    /// These, by UUID; a project includes its environments.
    Only {
        /// Projects that are seen whole.
        projects: BTreeSet<String>,
        /// Environments beside them.
        environments: BTreeSet<String>,
    },
}

impl Access {
    /// The union of grants.
    pub(crate) fn new(grants: impl IntoIterator<Item = Grant>) -> Self {
        Self(grants.into_iter().collect())
    }

    /// Everything in the organisation.
    pub(crate) fn everything() -> Self {
        Self(vec![Grant {
            level: Level::Manage,
            scope: Scope::Organization,
        }])
    }

    /// Whether there is none: who has none is no member.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The level on the organisation.
    pub(crate) fn organization(&self) -> Option<Level> {
        self.most(|scope| *scope == Scope::Organization)
    }

    /// The level on a project.
    pub(crate) fn project(&self, project: &str) -> Option<Level> {
        self.most(|scope| match scope {
            Scope::Organization => true,
            Scope::Project(uuid) => uuid == project,
            Scope::Environment(_) => false,
        })
    }

    /// The level on an environment.
    pub(crate) fn environment(&self, project: &str, environment: &str) -> Option<Level> {
        self.most(|scope| match scope {
            Scope::Organization => true,
            Scope::Project(uuid) => uuid == project,
            Scope::Environment(uuid) => uuid == environment,
        })
    }

    /// What lists may show.
    pub(crate) fn visible(&self) -> Visible {
        if self.organization().is_some() {
            return Visible::All;
        }
        let (mut projects, mut environments) = (BTreeSet::new(), BTreeSet::new());
        for grant in &self.0 {
            match &grant.scope {
                Scope::Organization => {}
                Scope::Project(uuid) => {
                    projects.insert(uuid.clone());
                }
                Scope::Environment(uuid) => {
                    environments.insert(uuid.clone());
                }
            }
        }
        Visible::Only {
            projects,
            environments,
        }
    }

    fn most(&self, counts: impl Fn(&Scope) -> bool) -> Option<Level> {
        self.0
            .iter()
            .filter(|grant| counts(&grant.scope))
            .map(|grant| grant.level)
            .max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "01900000-0000-7000-8000-00000000000a";
    const B: &str = "01900000-0000-7000-8000-00000000000b";
    const E: &str = "01900000-0000-7000-8000-00000000000e";

    fn access(grants: &[(Level, &str)]) -> Access {
        Access::new(grants.iter().map(|(level, scope)| Grant {
            level: *level,
            scope: Scope::parse(scope).expect("a scope"),
        }))
    }

    #[test]
    fn a_grant_holds_below_its_scope_and_nowhere_else() {
        let on_project = access(&[(Level::Manage, &format!("project:{A}"))]);
        assert_eq!(on_project.organization(), None);
        assert_eq!(on_project.project(A), Some(Level::Manage));
        assert_eq!(on_project.environment(A, E), Some(Level::Manage));
        assert_eq!(on_project.project(B), None);
        let on_environment = access(&[(Level::Write, &format!("env:{E}"))]);
        assert_eq!(on_environment.project(A), None);
        assert_eq!(on_environment.environment(A, E), Some(Level::Write));
        assert_eq!(on_environment.environment(A, B), None);
    }

    #[test]
    fn the_most_of_several_grants_counts() {
        let both = access(&[(Level::Read, ""), (Level::Manage, &format!("project:{A}"))]);
        assert_eq!(both.project(A), Some(Level::Manage));
        assert_eq!(both.project(B), Some(Level::Read));
        assert_eq!(both.visible(), Visible::All);
    }

    #[test]
    fn without_a_grant_nothing_is_seen() {
        let none = Access::default();
        assert!(none.is_none());
        assert_eq!(none.environment(A, E), None);
        let Visible::Only {
            projects,
            environments,
        } = none.visible()
        else {
            panic!("sees everything");
        };
        assert!(projects.is_empty() && environments.is_empty());
    }

    #[test]
    fn a_scope_is_read_as_it_is_written_and_mistakes_are_named() {
        for text in ["".to_owned(), format!("project:{A}"), format!("env:{E}")] {
            assert_eq!(Scope::parse(&text).map(|scope| scope.text()), Ok(text));
        }
        for (text, begins) in [
            ("project", "invalid scope format"),
            (
                "team:01900000-0000-7000-8000-00000000000a",
                "invalid resource kind",
            ),
            ("project:x", "invalid resource id"),
            (
                "env:01900000-0000-7000-8000-00000000000G",
                "invalid resource id",
            ),
        ] {
            let error = Scope::parse(text).expect_err("refused");
            assert!(error.starts_with(begins), "{text}: {error}");
        }
    }
}
