//! Rows are part of the change they tell of, and a chain that was tampered with is found.

use super::*;
use crate::store::objects::organizations::DEFAULT;
use crate::store::{StoreConfig, execute, open};
use crate::wire::audit::{Broken, verify};
use crate::wire::objects::ProjectCreate;

async fn store() -> (Store, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&StoreConfig::at(directory.path()))
        .await
        .expect("opens");
    (store, directory)
}

fn draft(path: &str) -> Draft {
    Draft {
        organization: DEFAULT.into(),
        actor: "u".into(),
        path: path.into(),
        ..Draft::default()
    }
}

async fn rows(store: &Store, organization: &str) -> Vec<AuditRow> {
    let listed = store.audit_list(organization, &Paging::ALL).await;
    listed.expect("lists").items
}

fn project(id: &str) -> ProjectCreate {
    ProjectCreate {
        id: id.into(),
        display_name: None,
        windlass: None,
    }
}

#[tokio::test]
async fn a_change_and_its_row_are_there_together_or_not_at_all() {
    let (store, _directory) = store().await;
    let pending = Pending::new(draft("/first"));
    carried(pending.clone(), async {
        note(|draft| draft.object = "project shop".into());
        store
            .project_create(DEFAULT, project("shop"))
            .await
            .expect("makes");
        // A second write of the same request has no row of its own.
        store
            .project_create(DEFAULT, project("more"))
            .await
            .expect("makes");
        store
            .project_create(DEFAULT, project("shop"))
            .await
            .expect_err("is there");
    })
    .await;
    assert_eq!(pending.take(), None, "the row was written");
    let found = rows(&store, DEFAULT).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].entry["outcome"], "changed");
    assert_eq!(found[0].entry["object"], "project shop");

    let refused = Pending::new(draft("/second"));
    carried(refused.clone(), async {
        store
            .project_create(DEFAULT, project("shop"))
            .await
            .expect_err("is there");
    })
    .await;
    let left = refused
        .take()
        .expect("nothing was written, so the row is still to be written");
    store
        .audit_append(&left, Outcome::of_status(409))
        .await
        .expect("appends");
    let found = rows(&store, DEFAULT).await;
    assert_eq!(found[1].entry["outcome"], "refused");
    assert_eq!(found[1].entry["status"], 409);
    assert_eq!(verify(DEFAULT, &found).expect("whole").number, 2);
}

#[tokio::test]
async fn requests_below_no_organisation_have_a_chain_of_their_own() {
    let (store, _directory) = store().await;
    for organization in ["", "unknown", DEFAULT] {
        let draft = Draft {
            organization: organization.into(),
            ..draft("/x")
        };
        store
            .audit_append(&draft, Outcome::Denied(403))
            .await
            .expect("appends");
    }
    assert_eq!(
        verify("", &rows(&store, "").await).expect("whole").number,
        2
    );
    assert_eq!(rows(&store, DEFAULT).await.len(), 1);
    assert!(rows(&store, "unknown").await.is_empty());
}

#[tokio::test]
async fn whoever_changes_the_database_is_found() {
    for (statement, expected) in [
        (
            "UPDATE audit SET entry = replace(entry, '/3', '/4') WHERE number = 3",
            Broken::Altered { number: 3 },
        ),
        (
            "UPDATE audit SET entry = 'nonsense' WHERE number = 2",
            Broken::Missing { number: 2 },
        ),
        (
            "DELETE FROM audit WHERE number = 4",
            Broken::Missing { number: 4 },
        ),
        (
            "UPDATE audit SET hash = (SELECT hash FROM audit WHERE number = 1) WHERE number = 5",
            Broken::Altered { number: 5 },
        ),
    ] {
        let (store, _directory) = store().await;
        for number in 1..=6 {
            let draft = draft(&format!("/{number}"));
            store
                .audit_append(&draft, Outcome::Unchanged(200))
                .await
                .expect("appends");
        }
        let mut writing = store.writing().await.expect("writes");
        execute(&mut writing, statement.into())
            .await
            .expect("tampers");
        writing.commit().await.expect("commits");
        assert_eq!(
            verify(DEFAULT, &rows(&store, DEFAULT).await),
            Err(expected),
            "{statement}"
        );
    }
}
