//! The client for everything that this program asks of servers.

use std::time::Duration;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the server may be silent; events say something every ten seconds, waiting answers after 25.
const SILENCE: Duration = Duration::from_secs(60);

/// HTTP with the certificates of this machine (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), or, where it has none,
/// those that browsers trust.
pub(crate) fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Somebody else in this process may have been first; it is the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = || {
        reqwest::Client::builder()
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            // A token goes where it was meant to go, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
    };
    settings().build().or_else(|_| {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .filter_map(|der| reqwest::Certificate::from_der(der).ok());
        settings().tls_certs_only(roots).build()
    })
}
