//! People who sign in and people who are invited, on both databases.

use super::grants::Granted;
use super::invitations::NewInvitation;
use super::sessions::NewSession;
use super::sign_on::{Proof, SignedOn};
use super::tokens::{Kind as TokenKind, Secret};
use super::users::NewUser;
use super::{Kind, clock};
use crate::model::access::{Role, Scope};
use crate::store::Store;
use crate::store::objects::ObjectError;
use crate::store::testing::{Home, On, on_both};

fn later() -> i64 {
    clock::now_us() + 60_000_000
}

fn proof<'a>(subject: &'a str, email: Option<&'a str>, attempt: &'a str) -> Proof<'a> {
    Proof {
        issuer: "https://i.example",
        subject,
        email,
        name: "Ann",
        attempt,
        attempt_ends_us: later(),
        newcomer: None,
    }
}

async fn sign_on(store: &Store, proof: &Proof<'_>) -> (SignedOn, Secret) {
    let secret = Secret::new(TokenKind::Session);
    let new = NewSession {
        secret: &secret,
        expires_us: later(),
        provider: "sso",
        client_ip: None,
    };
    let signed = store.sign_on(proof, &new).await.expect("decides");
    (signed, secret)
}

async fn invite(store: &Store, org: &str, email: &str) {
    let granted = Granted {
        scope: Scope::Organization,
        role: Role::Viewer,
    };
    let new = NewInvitation {
        email,
        granted: &granted,
        by: "somebody",
        secret: &Secret::new(TokenKind::Link),
        expires_us: later(),
    };
    store.invitation_create(org, &new).await.expect("invites");
}

on_both!(whoever_proves_an_address_is_one_person_and_an_attempt_counts_once);
async fn whoever_proves_an_address_is_one_person_and_an_attempt_counts_once(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    for org in ["acme", "other"] {
        let secret = Secret::new(TokenKind::Service);
        let made = store.bootstrap(org, "ci", &secret, later(), "system").await;
        made.expect("makes an organisation");
    }
    let email = Some("ann@acme.example");
    let ann = proof("1", email, "a");
    assert_eq!(sign_on(&store, &ann).await.0, SignedOn::Stranger);
    invite(&store, "acme", "ann@acme.example").await;
    assert_eq!(
        sign_on(&store, &proof("1", None, "a")).await.0,
        SignedOn::Stranger,
        "an address that is not proved finds nobody"
    );

    // Two at once with the same attempt: one of them.
    let ((one, first), (two, second)) = tokio::join!(sign_on(&store, &ann), sign_on(&store, &ann));
    let (user, session) = match (one, two) {
        (SignedOn::As(user), SignedOn::Used) => (user, first),
        (SignedOn::Used, SignedOn::As(user)) => (user, second),
        other => panic!("{other:?}"),
    };
    let kinds = [TokenKind::Session];
    let found = store.identity_of(&session, &kinds).await.expect("reads");
    assert_eq!(found.expect("a session").user, user);
    assert_eq!(
        store.organizations_of(&user).await.expect("reads"),
        ["acme"]
    );

    // A second organisation ends what could have been opened by the first.
    invite(&store, "other", "ann@acme.example").await;
    let (signed, newer) = sign_on(&store, &proof("1", email, "b")).await;
    assert_eq!(signed, SignedOn::As(user.clone()));
    assert_eq!(
        store.organizations_of(&user).await.expect("reads"),
        ["acme", "other"]
    );
    let found = store.identity_of(&session, &kinds).await.expect("reads");
    assert_eq!(found, None);
    let found = store.identity_of(&newer, &kinds).await.expect("reads");
    assert!(found.is_some());

    assert_eq!(
        sign_on(&store, &proof("2", email, "c")).await.0,
        SignedOn::Another
    );
    let moved = proof("1", Some("ann@elsewhere.example"), "d");
    assert_eq!(sign_on(&store, &moved).await.0, SignedOn::As(user));
    let newcomer = Proof {
        newcomer: Some(("acme", Role::Viewer)),
        ..proof("3", Some("bob@acme.example"), "e")
    };
    assert!(matches!(
        sign_on(&store, &newcomer).await.0,
        SignedOn::As(_)
    ));

    let eve = NewUser {
        kind: Kind::Person,
        name: "Eve",
        email,
        by: "somebody",
    };
    let link = Secret::new(TokenKind::Link);
    let refused = store
        .person_create("acme", &eve, &[], (&link, later()))
        .await;
    assert!(
        matches!(refused, Err(ObjectError::Conflict(_))),
        "{refused:?}"
    );
}
