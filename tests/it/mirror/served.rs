//! The mirror of a server, as engines elsewhere use it: over TLS, by the network mirror protocol, with a ticket.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::registry::platform;
use crate::inside::{Bench, job};
use crate::server::{Server, TOKEN};
use crate::story::Certified;
use crate::support::{Engine, Place, by_both_engines, mirror};

by_both_engines! {
    an_engine_elsewhere_has_its_providers_from_the_server
    a_run_whose_host_has_no_mirror_has_its_providers_from_the_server
}

/// A server over TLS with the mirror of the tests, and an address of it with a ticket.
fn served(place: &Place) -> (Certified, Server, String) {
    place.settings(&format!("mirror: {}\n", mirror().display()));
    let certified = Certified::new(place, "localhost");
    let server = Server::start(place, &certified.flags());
    let url = place.ok(["mirror", "url", "--server", server.url()]).stdout;
    (certified, server, url.trim().to_owned())
}

fn a_run_whose_host_has_no_mirror_has_its_providers_from_the_server(engine: Engine) {
    let place = Place::without_engine();
    let (certified, server, url) = served(&place);
    let host = match engine {
        Engine::OpenTofu => "registry.opentofu.org",
        Engine::Terraform => "registry.terraform.io",
    };
    let main = "terraform {\n  backend \"local\" {\n    path = \"state/terraform.tfstate\"\n  }\n  required_providers {\n    time = {\n      source = \"hashicorp/time\"\n    }\n  }\n}\nresource \"time_static\" \"a\" {}\n";
    let mut job = job("deploy", &[("main.tf", main)]);
    job["engine"] = engine.name().into();
    job["environment"] = json!({"SSL_CERT_FILE": certified.certificate()});
    let bench = Bench::new(engine.name(), &engine.binary());
    let ended = bench.run("without", &job);
    let finished = ended.finished();
    assert_eq!(finished["failure_class"], "init_failed", "{finished:#}");
    let provider = format!("{host}/hashicorp/time");
    job["network_mirror"] = json!({"url": url, "providers": [provider]});
    let ended = bench.run("with", &job);
    let finished = ended.finished();
    assert_eq!(finished["outcome"], "applied", "{finished:#}");
    let lock = finished["lock_file"].as_str().expect("a lock file");
    assert!(lock.contains("0.14.2") && lock.contains("h1:"), "{lock}");
    let said = finished.to_string();
    assert!(
        !said.contains("provider-mirror/"),
        "no ticket is told: {said}"
    );
    server.stop();
}

fn an_engine_elsewhere_has_its_providers_from_the_server(engine: Engine) {
    let place = Place::without_engine();
    let (certified, server, url) = served(&place);
    let other = Place::without_engine();
    let configuration = other.write(
        "engine.rc",
        format!("provider_installation {{\n  network_mirror {{\n    url = \"{url}\"\n  }}\n}}\n"),
    );
    other.write(
        "main.tf",
        "terraform {\n  required_providers {\n    time = {\n      source = \"hashicorp/time\"\n    }\n  }\n}\nresource \"time_static\" \"a\" {}\n",
    );
    let run = |arguments: &[&str]| {
        Command::new(engine.binary())
            .args(arguments)
            .current_dir(other.work())
            .env_clear()
            .env("HOME", other.work())
            .env("PATH", "/usr/bin:/bin")
            .env("TF_CLI_CONFIG_FILE", &configuration)
            .env("SSL_CERT_FILE", certified.certificate())
            .env("CHECKPOINT_DISABLE", "1")
            .output()
            .expect("the engine starts")
    };
    let done = run(&["init", "-input=false", "-no-color"]);
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{said}");
    let lock = fs::read_to_string(other.work().join(".terraform.lock.hcl")).expect("locked");
    assert!(lock.contains("0.14.2") && lock.contains("h1:"), "{lock}");
    let planned = run(&["plan", "-input=false", "-no-color"]);
    let said = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(said.contains("1 to add"), "{said}");

    // Who has no ticket, or asks for what is no package, gets nothing; nor does a token help.
    let host = lock
        .split('"')
        .find(|text| text.ends_with("/hashicorp/time"))
        .expect("an address");
    let without = url.rsplit_once("/provider-mirror/").expect("a path").0;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusted = reqwest::Certificate::from_pem(&certified.pem()).expect("a certificate");
    let client = reqwest::Client::builder()
        .tls_certs_only([trusted])
        .no_proxy()
        .build()
        .expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let get = |url: String| {
        runtime.block_on(async {
            let answer = client
                .get(url)
                .bearer_auth(TOKEN)
                .send()
                .await
                .expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("text"))
        })
    };
    let (code, index) = get(format!("{url}{host}/index.json"));
    assert_eq!(
        (code, index.as_str()),
        (200, r#"{"versions":{"0.14.2":{}}}"#)
    );
    let (code, version) = get(format!("{url}{host}/0.14.2.json"));
    assert_eq!(code, 200);
    assert!(
        version.contains(&platform()) && version.contains("h1:"),
        "{version}"
    );
    for wrong in [
        format!("{without}/provider-mirror/x/{host}/index.json"),
        format!("{url}{host}/9.9.9.json"),
        format!("{url}{host}/..%2f..%2f..%2fformat"),
        format!("{url}{host}/0.14.2_plan9_mips.zip"),
        format!("{url}{host}/package.json"),
    ] {
        let (code, body) = get(wrong.clone());
        assert_eq!(code, 404, "{wrong}: {body}");
    }
    server.stop();
}
