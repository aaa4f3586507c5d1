//! The listener: plain or TLS, patient with slow readers and not with slow beginnings, and stopped in order.
//!
//! Why limits here and not in a proxy: the binary is meant to stand alone. A connection that sends no request, or half
//! of one, is closed; what is idle costs a file descriptor and some kilobytes, nothing else.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

/// How long a request may take to arrive up to its body, and a TLS handshake.
const BEGIN: Duration = Duration::from_secs(20);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The address.
    #[error("cannot listen on {address}")]
    Address {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the certificate.
    #[error("the TLS {what} `{path}` cannot be used: {why}")]
    Tls {
        /// `certificate` or `key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// In words.
        why: String,
    },
    /// Two good files that are not of one pair.
    #[error(
        "the TLS certificate `{certificate}` and the key `{key}` do not belong together: give the key that the first \
         certificate of the chain was made for"
    )]
    Pair {
        /// The file of the chain.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The listener stopped by itself.
    #[error("the listener stopped")]
    Stopped(#[source] io::Error),
}

/// A file in PEM form that was read.
#[derive(Clone)]
pub(crate) struct Pem {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) bytes: Vec<u8>,
}

/// Opens the address, so that a mistake is told before anything else is started.
pub(crate) fn open(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).map_err(|source| ListenError::Address { address, source })
}

/// The settings of TLS with a certificate chain, the server's own first, and its private key.
pub(crate) fn tls(certificate: &Pem, key: &Pem) -> Result<Arc<ServerConfig>, ListenError> {
    let wrong = |what, pem: &Pem, why: String| ListenError::Tls {
        what,
        path: pem.path.clone(),
        why,
    };
    let of_certificate = |why| wrong("certificate", certificate, why);
    let chain = CertificateDer::pem_slice_iter(&certificate.bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| of_certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(of_certificate("it holds no certificate in PEM form".into()));
    }
    let pair = || ListenError::Pair {
        certificate: certificate.path.clone(),
        key: key.path.clone(),
    };
    let key = PrivateKeyDer::from_pem_slice(&key.bytes)
        .map_err(|error| wrong("key", key, no_key(&key.bytes, &error)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => pair(),
            other => of_certificate(other.to_string()),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Why a file gives no private key. Never quotes the file.
fn no_key(bytes: &[u8], error: &pem::Error) -> String {
    let is_encrypted = String::from_utf8_lossy(bytes).contains("ENCRYPTED");
    match error {
        _ if is_encrypted => {
            "it is encrypted; nobody is there to type its passphrase, so give it without one, in a file that only \
             this user can read"
                .to_owned()
        }
        pem::Error::NoItemsFound => {
            "it holds no private key in PEM form (`-----BEGIN PRIVATE KEY-----`)".to_owned()
        }
        other => other.to_string(),
    }
}

/// Serves until `stop`; then takes no more, and gives what is under way `grace` to end.
pub(crate) async fn serve(
    router: Router,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    stop: CancellationToken,
    grace: Duration,
) -> Result<(), ListenError> {
    let handle = Handle::new();
    let told = handle.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        told.graceful_shutdown(Some(grace));
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener)
        .map_err(ListenError::Stopped)?
        .handle(handle)
        .first_request_timeout(BEGIN);
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(BEGIN);
    server
        .http_builder()
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(BEGIN);
    match tls {
        None => server.serve(service).await,
        Some(config) => {
            let acceptor =
                RustlsAcceptor::new(RustlsConfig::from_config(config)).handshake_timeout(BEGIN);
            server.acceptor(acceptor).serve(service).await
        }
    }
    .map_err(ListenError::Stopped)
}
