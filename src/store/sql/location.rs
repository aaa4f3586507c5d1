//! Which database: `sqlite:`, `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/NAME`.
//!
//! The address of a PostgreSQL database holds a password as a rule, so nothing here shows it: neither errors nor
//! `Debug`, and what is wrong is said without quoting.

use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// What an address may say after `?`, as the driver knows it. It would pass over anything else in silence.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Where the database is.
#[derive(Clone, Default)]
pub(crate) enum Location {
    /// `windlass.db` in the data directory.
    #[default]
    DataDirectory,
    /// A file of SQLite.
    File(PathBuf),
    /// A database of a PostgreSQL server.
    Postgres(Box<Server>),
}

/// How a PostgreSQL server is reached, and what may be shown of that.
#[derive(Clone)]
pub(crate) struct Server {
    pub(in crate::store) options: PgConnectOptions,
    /// The address with `…` for everything that may be secret.
    masked: String,
    has_password: bool,
}

/// Why an address names no database. Never quotes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadLocation {
    /// Another kind of database.
    #[error(
        "the address of the database begins with neither `sqlite:` nor `postgres:`; write `sqlite:`, `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:5432/NAME`"
    )]
    Scheme,
    /// A misspelt parameter.
    #[error(
        "the address of the database has the parameter `{name}`, which is not known; known are {}", PARAMETERS.join(", ")
    )]
    Parameter {
        /// Its name.
        name: String,
    },
    /// Anything else.
    #[error(
        "the address of the database is no `postgres://USER:PASSWORD@HOST:5432/NAME`; letters other than A-Z, a-z, 0-9 and `-._~` in the user, the password and the name are written as %XX"
    )]
    Address,
}

impl Location {
    /// Reads an address.
    pub(crate) fn parse(text: &str) -> Result<Self, BadLocation> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = match path.strip_prefix("//") {
                Some(path) => path,
                None => path,
            };
            return Ok(match path {
                "" => Self::DataDirectory,
                path => Self::File(std::path::absolute(path).unwrap_or_else(|_| path.into())),
            });
        }
        if !text.starts_with("postgres:") && !text.starts_with("postgresql:") {
            return Err(BadLocation::Scheme);
        }
        if !text.contains("://") {
            return Err(BadLocation::Address);
        }
        let (_, query) = text.split_once('?').unwrap_or((text, ""));
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or(pair);
            if !PARAMETERS.contains(&name)
                && !name.starts_with("options%5B")
                && !name.starts_with("options[")
            {
                // Where no `=` follows, this may be the end of a password.
                let name = if pair.contains('=') { name } else { "…" };
                return Err(BadLocation::Parameter {
                    name: name.to_owned(),
                });
            }
        }
        match PgConnectOptions::from_str(text) {
            Ok(options) => {
                let (masked, has_password) = masked(text);
                let options = match options.get_application_name() {
                    Some(_) => options,
                    None => options.application_name("windlass"),
                };
                Ok(Self::Postgres(Box::new(Server {
                    options,
                    masked,
                    has_password,
                })))
            }
            Err(_) => Err(BadLocation::Address),
        }
    }

    /// Whether the address itself holds a password.
    pub(crate) fn has_password(&self) -> bool {
        match self {
            Self::Postgres(server) => server.has_password,
            Self::DataDirectory | Self::File(_) => false,
        }
    }

    /// The address as it may be printed.
    pub(crate) fn masked(&self) -> String {
        match self {
            Self::Postgres(server) => server.masked.clone(),
            Self::DataDirectory | Self::File(_) => format!("{self:?}"),
        }
    }
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DataDirectory => f.write_str("sqlite:"),
            Self::File(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(server) => f.write_str(&name_of(&server.options)),
        }
    }
}

/// An address that was read without error, with `…` for the password, and whether there was one. `options` may set
/// anything, so they are masked too.
fn masked(text: &str) -> (String, bool) {
    let mut has_password = false;
    let (address, query) = match text.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (text, None),
    };
    let mut shown = match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((user, host))) => {
            let user = user.split_once("://").map_or("", |(_, user)| user);
            match user.split_once(':') {
                Some((user, _)) => {
                    has_password = true;
                    format!("{scheme}://{user}:…@{host}")
                }
                None => format!("{scheme}://{user}@{host}"),
            }
        }
        _ => address.to_owned(),
    };
    for (at, pair) in query.unwrap_or_default().split('&').enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        has_password |= name == "password";
        let secret = name == "password" || name.starts_with("options");
        if !name.is_empty() {
            let value = if secret { "…" } else { value };
            shown.push_str(&format!(
                "{}{name}={value}",
                if at == 0 { '?' } else { '&' }
            ));
        }
    }
    (shown, has_password)
}

/// How a PostgreSQL database is called where people read it.
pub(super) fn name_of(options: &PgConnectOptions) -> String {
    let name = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("postgres:{}/{name}", socket.display()),
        None => format!(
            "postgres://{}:{}/{name}",
            options.get_host(),
            options.get_port()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::Location;

    #[test]
    fn an_address_names_a_database_and_is_never_shown_whole() {
        let shown = |text: &str| format!("{:?}", Location::parse(text).expect("parses"));
        assert_eq!(shown("sqlite:"), "sqlite:");
        assert_eq!(shown("sqlite:/a/b.db"), "sqlite:/a/b.db");
        assert_eq!(shown("sqlite:///a/b.db"), "sqlite:/a/b.db");
        assert_eq!(
            shown("postgres://me:geheim@db.example/windlass?sslmode=verify-full"),
            "postgres://db.example:5432/windlass"
        );
        assert_eq!(
            shown("postgresql://me@x/windlass?host=/run/pg&port=5433"),
            "postgres:/run/pg/windlass"
        );
    }

    #[test]
    fn what_is_printed_of_an_address_has_no_password() {
        for (text, expected, has_password) in [
            ("sqlite:", "sqlite:", false),
            ("postgres://me@h/n", "postgres://me@h/n", false),
            (
                "postgres://me:geheim@h:5/n?sslmode=verify-full",
                "postgres://me:…@h:5/n?sslmode=verify-full",
                true,
            ),
            (
                "postgres://h/n?user=me&password=geheim",
                "postgres://h/n?user=me&password=…",
                true,
            ),
        ] {
            let found = Location::parse(text).expect("parses");
            assert_eq!(found.masked(), expected);
            assert_eq!(found.has_password(), has_password);
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for text in [
            "mysql://me:geheim@host/name",
            "geheim",
            "postgres:me:geheim@host/name",
            "postgres://me:geheim@host:port/name",
            "postgres://me:geheim@host/name?sslmode=geheim",
            "postgres://me:pass?geheim@host/name",
            "postgres://me:geheim@host/name?sslmod=require",
        ] {
            let error = Location::parse(text).expect_err("refuses");
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
        }
    }
}
