//! Tokens of other issuers: fetched keys, checked signatures, checked claims. Jobs bring theirs along; for people they
//! are fetched from the issuer that the server is set up with ([`sign_on`]).
//!
//! Why our own few lines and not a library: those that exist bring an implementation of RSA with a known leak of
//! private keys, or a second library of cryptography. Nothing private is done here; `ring`, which does TLS already,
//! checks signatures. What a token says is believed after [`jwt::verify`] and not before.

mod http;
mod issuers;
pub(crate) mod jwt;
pub(crate) mod sign_on;

pub(crate) use self::http::client as http_client;
pub(crate) use self::issuers::{IssuerError, known, may_be_asked};
