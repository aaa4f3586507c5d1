//! What only PostgreSQL can do to a store: servers beside each other, servers that go away, and a schema of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::store::Location;
use crate::store::deployments::code;
use crate::store::sql::Connection;
use crate::store::testing::Server;

/// A reference: its table, what it refers to, what happens on removal, and the pairs of columns.
type Reference = (String, String, String, Vec<(String, String)>);

/// A schema in words that are the same on both databases.
#[derive(Debug, Default, PartialEq, Eq)]
struct Schema {
    columns: BTreeSet<(String, String, String, i64)>,
    indexes: BTreeSet<(String, i64, Vec<String>)>,
    references: BTreeSet<Reference>,
}

impl Schema {
    /// Puts the rows of indexes and references together.
    fn new(
        columns: Vec<(String, String, String, i64)>,
        indexes: Vec<(String, String, i64, String)>,
        references: Vec<(String, i64, String, String, String, String)>,
    ) -> Self {
        let mut by_name: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (table, name, unique, column) in indexes {
            by_name
                .entry((table, name, unique))
                .or_default()
                .push(column);
        }
        let mut by_number: BTreeMap<_, Vec<(String, String)>> = BTreeMap::new();
        for (table, number, other, action, from, to) in references {
            let place = by_number.entry((table, number, other, action));
            place.or_default().push((from, to));
        }
        Self {
            columns: columns.into_iter().collect(),
            indexes: by_name
                .into_iter()
                .map(|((table, _, unique), columns)| (table, unique, columns))
                .collect(),
            references: by_number
                .into_iter()
                .map(|((table, _, other, action), columns)| (table, other, action, columns))
                .collect(),
        }
    }

    async fn of_sqlite(connection: &mut Connection) -> Self {
        let columns = sql::query(
            "SELECT t.name, c.name, c.type, (c.\"notnull\" OR c.pk > 0) FROM sqlite_master t \
             JOIN pragma_table_info(t.name) c WHERE t.type = 'table'",
        );
        // A number that is the primary key has no index of its own.
        let indexes = sql::query(
            "SELECT t.name, i.name, i.\"unique\", c.name, c.seqno FROM sqlite_master t \
             JOIN pragma_index_list(t.name) i JOIN pragma_index_info(i.name) c WHERE t.type = 'table' \
             UNION ALL SELECT t.name, 'number', 1, c.name, 0 FROM sqlite_master t \
             JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND c.pk = 1 AND c.type = 'INTEGER' \
             AND NOT EXISTS (SELECT 1 FROM pragma_index_list(t.name) WHERE origin = 'pk') ORDER BY 1, 2, 5",
        );
        let references = sql::query(
            "SELECT t.name, r.id, r.\"table\", r.on_delete, r.\"from\", r.\"to\" FROM sqlite_master t \
             JOIN pragma_foreign_key_list(t.name) r WHERE t.type = 'table' ORDER BY t.name, r.id, r.seq",
        );
        Self::new(
            columns.fetch_all(connection).await.expect("reads"),
            indexes.fetch_all(connection).await.expect("reads"),
            references.fetch_all(connection).await.expect("reads"),
        )
    }

    async fn of_postgres(connection: &mut Connection) -> Self {
        // Text that is not compared by its bytes has another type here.
        let columns = sql::query(
            "SELECT table_name::text, column_name::text, \
             CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'bytea' THEN 'BLOB' \
             WHEN 'text' THEN CASE collation_name WHEN 'C' THEN 'TEXT' ELSE 'text of a language' END \
             ELSE data_type::text END, (is_nullable = 'NO')::int \
             FROM information_schema.columns WHERE table_schema = current_schema()",
        );
        let indexes = sql::query(
            "SELECT t.relname::text, n.relname::text, i.indisunique::int, a.attname::text FROM pg_index i \
             JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class n ON n.oid = i.indexrelid \
             CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (column_number, place) \
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.column_number \
             WHERE t.relnamespace = current_schema()::regnamespace ORDER BY 1, 2, k.place",
        );
        let references = sql::query(
            "SELECT t.relname::text, c.oid::bigint, o.relname::text, \
             CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'a' THEN 'NO ACTION' ELSE c.confdeltype::text END, \
             a.attname::text, b.attname::text FROM pg_constraint c \
             JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class o ON o.oid = c.confrelid \
             CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY AS k (ours, theirs, place) \
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.ours \
             JOIN pg_attribute b ON b.attrelid = o.oid AND b.attnum = k.theirs \
             WHERE c.contype = 'f' AND c.connamespace = current_schema()::regnamespace ORDER BY 1, 2, k.place",
        );
        Self::new(
            columns.fetch_all(connection).await.expect("reads"),
            indexes.fetch_all(connection).await.expect("reads"),
            references.fetch_all(connection).await.expect("reads"),
        )
    }

    /// Without tables that are files beside SQLite.
    fn without_shared(mut self) -> Self {
        let shared = |table: &str| ["blobs", "keyring_proof"].contains(&table);
        self.columns.retain(|(table, ..)| !shared(table));
        self.indexes.retain(|(table, ..)| !shared(table));
        self
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn both_databases_have_the_same_schema() {
    let (one, other) = (Home::new(On::Sqlite).await, Home::new(On::Postgres).await);
    let (one, other) = (one.open().await, other.open().await);
    let ours = Schema::of_sqlite(&mut one.reading().await.expect("reads")).await;
    let theirs = Schema::of_postgres(&mut other.reading().await.expect("reads")).await;
    assert!(ours.columns.len() > 100 && ours.indexes.len() > 20 && ours.references.len() > 10);
    let theirs = theirs.without_shared();
    let only = |a: &BTreeSet<_>, b: &BTreeSet<_>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(only(&ours.columns, &theirs.columns), []);
    assert_eq!(only(&theirs.columns, &ours.columns), []);
    assert_eq!(ours, theirs);
}

on_both!(text_is_ordered_by_its_bytes);
async fn text_is_ordered_by_its_bytes(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    let mut names = [
        "b", "B", "a", "_", "-", "é", "Z", "a-b", "ab", "a b", "😀", "\u{ffff}",
    ];
    let mut writing = store.writing().await.expect("writes");
    for name in names {
        code::uploaded(&mut writing, "org", name)
            .await
            .expect("writes");
    }
    let found: Vec<String> =
        sql::query("SELECT digest FROM module_uploads WHERE digest > $1 ORDER BY digest")
            .bind("")
            .fetch_all(&mut writing)
            .await
            .expect("reads");
    names.sort_unstable();
    assert_eq!(found, names);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let home = Server::shared()
        .empty("ENCODING 'LATIN1' TEMPLATE template0")
        .await;
    let refused = home.try_open().await.err().expect("refuses");
    assert!(matches!(refused, StoreError::Unfit { .. }));
    assert!(
        refused
            .to_string()
            .contains("its encoding is LATIN1, not UTF8")
    );
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn two_servers_that_start_at_once_migrate_once_and_need_one_key_ring() {
    let one = Server::shared().empty("").await;
    let other = one.other();
    let (first, second) = tokio::join!(one.try_open(), other.try_open());
    // Each made a key ring of its own; the database belongs to the one that came first.
    let (opened, refused, winner, loser) = match (first, second) {
        (Ok(opened), Err(refused)) => (opened, refused, &one, &other),
        (Err(refused), Ok(opened)) => (opened, refused, &other, &one),
        (first, second) => panic!("{:?} {:?}", first.err(), second.err()),
    };
    assert!(
        refused.to_string().contains("WINDLASS_KEYRING_FILE"),
        "{refused}"
    );
    winner.share_keyring(loser);
    let again = loser.open().await;
    let digest = opened.blob_put(b"some code").await.expect("keeps");
    assert_eq!(again.blob_get(&digest).await.expect("reads"), b"some code");
    assert_ne!(opened.instance(), again.instance());
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_server_is_reached_by_tls_and_only_where_its_certificate_is_trusted() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let server = Server::start(&[
        "ssl=on",
        "listen_addresses=127.0.0.1",
        &format!("port={port}"),
    ]);
    let certificate = server.path().join("server.crt");
    let opened = async |host: &str, parameters: &str| {
        let url = format!("postgres://windlass@{host}:{port}/postgres?{parameters}");
        Home::at(Location::parse(&url).expect("parses"))
            .try_open()
            .await
    };
    let trusting = format!("sslmode=verify-full&sslrootcert={}", certificate.display());
    let store = opened("127.0.0.1", &trusting).await.expect("opens");
    let mut reading = store.reading().await.expect("reads");
    let ssl: String = sql::query("SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetch_one(&mut reading)
        .await
        .expect("reads");
    assert_eq!(ssl, "true");
    // Another name than the certificate has, and a certificate that no authority signed.
    for (host, parameters) in [
        ("localhost", trusting.as_str()),
        ("127.0.0.1", "sslmode=verify-full"),
    ] {
        let refused = opened(host, parameters).await.err().expect("refuses");
        assert!(
            format!("{refused:?}").contains("ertificate"),
            "{host}: {refused:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_failed_statement_fails_the_write_also_when_nobody_minds() {
    let home = Home::new(On::Postgres).await;
    let store = home.open().await;
    let mut writing = store.writing().await.expect("writes");
    rows::save(&mut writing, &row("one", "env", 1))
        .await
        .expect("saves");
    let wrong = sql::query("SELECT 1 FROM nowhere")
        .fetch_all::<i64>(&mut writing)
        .await;
    assert!(wrong.is_err());
    assert!(writing.commit().await.is_err());
    let mut reading = store.reading().await.expect("reads");
    let found = rows::by_id(&mut reading, "one").await.expect("reads");
    assert_eq!(found, None);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn whoever_writes_too_long_does_not_make_others_wait_for_ever() {
    let home = Home::new(On::Postgres).await;
    let (one, other) = (home.open().await, home.open().await);
    let held = one.writing().await.expect("writes");
    let refused = other.writing().await.err().expect("refuses");
    assert!(matches!(refused, StoreError::Busy(_)), "{refused:?}");
    drop(held);
    let writing = other.writing().await.expect("writes again");
    writing.commit().await.expect("commits");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_server_that_goes_away_fails_what_is_asked_and_all_goes_on_when_it_is_back() {
    let mut server = Server::start(&["fsync=on", "synchronous_commit=on"]);
    let home = server.home().await;
    let (store, other) = (home.open().await, home.open().await);
    for (away, back) in [("stop", "start"), ("kill", "start"), ("pause", "go on")] {
        let mut writing = store.writing().await.expect("writes");
        let kept = row(&format!("kept {away}"), "env", sequence(&mut writing).await);
        rows::save(&mut writing, &kept).await.expect("saves");
        writing.commit().await.expect("commits");
        let mut open = store.writing().await.expect("writes");
        let lost = row(&format!("lost {away}"), "env", sequence(&mut open).await);
        rows::save(&mut open, &lost).await.expect("saves");
        server.tell(away);
        if away == "pause" {
            drop(open);
        } else {
            assert!(open.commit().await.is_err());
            for refused in [store.writing().await.err(), other.reading().await.err()] {
                let refused = refused.expect("refuses");
                assert_eq!(refused.to_string(), "the database does not answer");
            }
        }
        server.tell(back);
        let mut watch = other.watch();
        let mut seen = false;
        while !seen {
            // What is asked in the moment of coming back may fail still.
            if let Ok(mut reading) = store.reading().await
                && let Ok(row) = rows::by_id(&mut reading, &kept.id).await
                && let Ok(none) = rows::by_id(&mut reading, &lost.id).await
            {
                seen = row.is_some();
                assert_eq!(none, None);
            }
        }
        // Others hear of writes again.
        let mut writing = store.writing().await.expect("writes");
        feed::append(&mut writing, away, &What::Queued(1))
            .await
            .expect("appends");
        writing.commit().await.expect("commits");
        loop {
            let mut reading = other.reading().await.expect("reads");
            if !feed::after(&mut reading, away, 0)
                .await
                .expect("reads")
                .is_empty()
            {
                break;
            }
            drop(reading);
            watch.changed(Duration::from_secs(60)).await;
        }
    }
}

async fn sequence(connection: &mut Connection) -> i64 {
    rows::draw(connection, "queue").await.expect("draws")
}
