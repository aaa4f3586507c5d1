//! Stores for tests, on both databases: a story is a function of [`On`], and [`on_both`] tells it twice.
//!
//! PostgreSQL is one server per test process, which `tests/postgres` starts and which ends with the process; each
//! story has a database of its own, copied from one in which all migrations are done.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _};

use super::sql::Database;
use super::{Location, Store, StoreConfig, StoreError, open};

/// Makes two tests of an `async fn NAME(on: On)`: `NAME::sqlite` and `NAME::postgres`.
macro_rules! on_both {
    ($name:ident) => {
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                super::$name($crate::store::testing::On::Sqlite).await;
            }

            #[tokio::test]
            #[ignore = "needs PostgreSQL"]
            async fn postgres() {
                super::$name($crate::store::testing::On::Postgres).await;
            }
        }
    };
}
pub(crate) use on_both;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

/// A data directory and the database that belongs to it.
pub(crate) struct Home {
    directory: tempfile::TempDir,
    database: Location,
}

impl Home {
    /// An empty one.
    pub(crate) async fn new(on: On) -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            database: match on {
                On::Sqlite => Location::DataDirectory,
                On::Postgres => Server::shared().copy_of_template().await,
            },
        }
    }

    /// One of this database.
    pub(crate) fn at(database: Location) -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            database,
        }
    }

    /// A data directory beside the same database, as another server has it.
    pub(crate) fn other(&self) -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            database: self.database.clone(),
        }
    }

    /// Gives this one the other's key ring.
    pub(crate) fn share_keyring(&self, with: &Self) {
        let [from, to] = [self, with].map(|home| home.path().join("keyring"));
        std::fs::copy(from, to).expect("copies");
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig {
            database: self.database.clone(),
            ..StoreConfig::at(self.path())
        }
    }

    pub(crate) async fn try_open(&self) -> Result<Store, StoreError> {
        open(&self.config()).await
    }

    pub(crate) async fn open(&self) -> Store {
        self.try_open().await.expect("opens")
    }
}

/// A server that ends when this is dropped, or the process is gone.
pub(crate) struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    home: PathBuf,
}

/// What all tests share of a server.
pub(crate) struct Shared {
    _server: Server,
    home: PathBuf,
}

/// Numbers databases.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// Starts one, with settings of its own.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let mut child = Command::new("bash")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres"))
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        let mut home = String::new();
        said.read_line(&mut home).expect("reads");
        assert!(
            !home.is_empty(),
            "no PostgreSQL: install it by `bash tests/run`"
        );
        Self {
            child,
            said,
            home: home.trim().into(),
        }
    }

    /// The one of this process.
    pub(crate) fn shared() -> &'static Shared {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        SHARED.get_or_init(|| {
            let server = Self::start(&[]);
            Shared {
                home: server.home.clone(),
                _server: server,
            }
        })
    }

    /// Has the server do something (the script lists what) and waits until it is done.
    pub(crate) fn tell(&mut self, word: &str) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        writeln!(stdin, "{word}").expect("writes");
        let mut done = String::new();
        self.said.read_line(&mut done).expect("reads");
        assert_eq!(done, "done\n", "{word}");
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.home
    }

    /// A data directory and a new, empty database of this server.
    pub(crate) async fn home(&self) -> Home {
        empty(&self.home, "").await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Shared {
    async fn copy_of_template(&self) -> Location {
        static MADE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
        MADE.get_or_init(|| async {
            run(&self.home, "CREATE DATABASE migrated").await;
            let Location::Postgres(server) = address(&self.home, "migrated") else {
                unreachable!("it is one");
            };
            let database = Database::postgres(&server.options);
            super::migrate::bring_up(&database).await.expect("migrates");
            database.close().await;
        })
        .await;
        let name = fresh();
        run(
            &self.home,
            &format!("CREATE DATABASE {name} TEMPLATE migrated"),
        )
        .await;
        address(&self.home, &name)
    }

    /// A data directory and a new, empty database, made with these options.
    pub(crate) async fn empty(&self, options: &str) -> Home {
        empty(&self.home, options).await
    }
}

async fn empty(home: &Path, options: &str) -> Home {
    let name = fresh();
    run(home, &format!("CREATE DATABASE {name} {options}")).await;
    Home {
        directory: tempfile::tempdir().expect("a directory"),
        database: address(home, &name),
    }
}

fn fresh() -> String {
    format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn address(home: &Path, name: &str) -> Location {
    let home = home.display();
    Location::parse(&format!("postgres://windlass@localhost/{name}?host={home}")).expect("parses")
}

async fn run(home: &Path, statement: &str) {
    let Location::Postgres(server) = address(home, "postgres") else {
        unreachable!("it is one");
    };
    let mut connection = server.options.connect().await.expect("connects");
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await
        .expect("runs");
    connection.close().await.expect("closes");
}
