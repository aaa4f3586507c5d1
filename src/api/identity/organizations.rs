//! Organisations that people make for themselves: one each.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::error::Refusal;
use crate::store::audit;
use crate::store::identity::Kind;
use crate::wire::ErrorBody;
use crate::wire::objects::Organization;

const FIRST: [&str; 16] = [
    "amber", "brave", "calm", "clear", "eager", "fair", "fresh", "gentle", "grand", "keen",
    "light", "lively", "proud", "quick", "steady", "warm",
];
const SECOND: [&str; 16] = [
    "anchor", "beacon", "bridge", "canal", "crane", "dock", "ferry", "harbour", "keel", "lock",
    "mast", "mooring", "pier", "quay", "sail", "tide",
];

/// Makes an organisation with an id of chance, which the caller administers.
#[utoipa::path(
    post,
    path = "/orgs",
    responses(
        (status = 201, body = Organization, description = "Made"),
        (status = 409, body = ErrorBody, description = "The caller is in an organisation"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
) -> Result<(StatusCode, Json<Organization>), Refusal> {
    match caller.kind {
        Some(Kind::Person) => {}
        Some(Kind::Service) => {
            return Err(Refusal::denied(
                "service users are not allowed to create organizations",
            ));
        }
        None => {
            return Err(Refusal::denied(
                "only a human user may create an organization",
            ));
        }
    }
    loop {
        let id = new_id();
        audit::note(|draft| draft.object = format!("organization {id}"));
        if let Some(made) = app.store.organization_create(&id, &caller.user).await? {
            return Ok((StatusCode::CREATED, Json(made)));
        }
    }
}

/// `steady-quay-4711`.
fn new_id() -> String {
    let mut bytes = [0u8; 4];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    let number = u16::from_le_bytes([bytes[2], bytes[3]]) % 10_000;
    format!(
        "{}-{}-{number:04}",
        FIRST[usize::from(bytes[0]) % FIRST.len()],
        SECOND[usize::from(bytes[1]) % SECOND.len()]
    )
}

#[cfg(test)]
mod tests {
    use crate::model::name::Shape;

    #[test]
    fn an_id_of_chance_is_an_id() {
        assert!(Shape::StdId.fits(&super::new_id()));
    }
}
