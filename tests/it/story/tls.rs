//! TLS of a server: with a certificate that the test makes, and refused at start with the file that is wrong.

use std::path::PathBuf;
use std::process::Command;

use crate::server::{Server, TOKEN};
use crate::support::Place;

/// A certificate for 127.0.0.1 and its key, as files.
pub(crate) struct Certified {
    certificate: PathBuf,
    key: PathBuf,
}

impl Certified {
    /// Makes them in the work directory of a place, signed by themselves.
    pub(crate) fn new(place: &Place, name: &str) -> Self {
        let made = Self {
            certificate: place.work().join(format!("{name}.pem")),
            key: place.work().join(format!("{name}.key")),
        };
        let output = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-subj"])
            .arg(format!("/CN={name}"))
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&made.certificate)
            .output()
            .expect("openssl: run the tests with `bash tests/run`, which installs it");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        made
    }

    pub(crate) fn flags(&self) -> [&str; 4] {
        [
            "--tls-certificate",
            self.certificate.to_str().expect("text"),
            "--tls-key",
            self.key.to_str().expect("text"),
        ]
    }

    /// The file that others are to trust.
    pub(crate) fn certificate(&self) -> &std::path::Path {
        &self.certificate
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        std::fs::read(&self.certificate).expect("the certificate")
    }
}

#[test]
fn our_commands_trust_whom_the_machine_trusts_and_nobody_else() {
    let place = Place::without_engine();
    let certified = Certified::new(&place, "server");
    let server = Server::start(&place, &certified.flags());
    let client = server.client(TOKEN);
    let refused = client.refused(["get", "projects"]);
    refused.says(&[server.url(), "ertificate"]);
    client.with_variable(
        "SSL_CERT_FILE",
        certified.certificate.to_str().expect("text"),
    );
    client.ok(["get", "projects"]);
    // Plain HTTP to the same port is no way around it.
    let plain = server.url().replacen("https", "http", 1);
    client.with_variable("WINDLASS_URL", &plain);
    client.refused(["get", "projects"]).says(&[&plain]);
    server.stop();
}

#[test]
fn files_that_do_not_fit_are_named_before_anything_is_served() {
    let place = Place::without_engine();
    let certified = Certified::new(&place, "server");
    let other = Certified::new(&place, "other");
    let text = |path: &PathBuf| path.to_str().expect("text").to_owned();
    let (certificate, key) = (text(&certified.certificate), text(&certified.key));
    let empty = text(&place.write("empty", ""));
    let nonsense = text(&place.write(
        "nonsense.pem",
        "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n",
    ));
    let encrypted = text(&place.write(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nbm90aGluZw==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    ));
    let secret = std::fs::read_to_string(&certified.key).expect("the key");
    let secret = secret.lines().nth(1).expect("a line of the key").to_owned();
    let missing = text(&place.work().join("missing"));
    for (certificate, key, says) in [
        (&certificate, &missing, &[missing.as_str(), "--tls-key"][..]),
        (&missing, &key, &[missing.as_str(), "--tls-certificate"]),
        (
            &certificate,
            &text(&other.key),
            &["other.key", "server.pem", "do not belong together"],
        ),
        (&certificate, &empty, &["empty", "no private key"]),
        (
            &certificate,
            &certificate,
            &["server.pem", "no private key"],
        ),
        (&certificate, &encrypted, &["encrypted.key", "passphrase"]),
        (&empty, &key, &["empty", "no certificate"]),
        (&key, &key, &["server.key", "no certificate"]),
        (&nonsense, &key, &["nonsense.pem", "certificate"]),
    ] {
        let done = place.refused([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--tls-certificate",
            certificate,
            "--tls-key",
            key,
        ]);
        done.says(says);
        let said = format!("{}{}", done.stdout, done.stderr);
        assert!(!said.contains("Windlass serves"), "{done}");
        assert!(!said.contains(&secret), "no line of a key is shown\n{done}");
    }
    let folder = text(&place.work());
    place
        .refused([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--tls-certificate",
            &certificate,
            "--tls-key",
            &folder,
        ])
        .says(&["--tls-key", &folder]);
}
