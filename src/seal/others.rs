//! Other programs open what this room seals: `age` and a page of JavaScript over WebCrypto. Tests only.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{Sealer, age, key::Identity};

/// Runs a program with `input` and returns its output; fails when the program is missing or unhappy.
fn run(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is installed");
    let mut stdin = child.stdin.take().expect("piped");
    let output = std::thread::scope(|scope| {
        // Beside reading the output: a pipe holds 64 KiB.
        scope.spawn(move || stdin.write_all(input).expect("the program reads its input"));
        child.wait_with_output().expect("the program ends")
    });
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
#[ignore = "needs the program age"]
fn the_program_age_opens_our_age_files() {
    let reader = Identity::generate();
    let keys = tempfile::NamedTempFile::new().expect("a temporary file");
    keys.as_file()
        .write_all(reader.expose_secret().as_bytes())
        .expect("written");
    let plain = vec![b'p'; 300_000];
    let file = age::seal(
        &[reader.recipient(), Identity::generate().recipient()],
        &plain,
    );
    let opened = run(
        Command::new("age").arg("-d").arg("-i").arg(keys.path()),
        &file,
    );
    assert_eq!(opened.expect("opens"), plain);
}

#[test]
#[ignore = "needs the program age"]
fn we_open_age_files_of_the_program_age() {
    let reader = Identity::generate();
    let file = run(
        Command::new("age")
            .arg("-r")
            .arg(reader.recipient().to_string()),
        b"from age",
    )
    .expect("seals");
    assert_eq!(age::open(&reader, &file).expect("opens"), b"from age");
}

/// The request that `tests/sealed/open.mjs` reads.
fn request(reader: &Identity, header: &[u8], frames: &[Vec<u8>]) -> Vec<u8> {
    serde_json::json!({
        "identity": *reader.expose_secret(),
        "run": "run-1",
        "attempt": 3,
        "stream": "logs",
        "header": BASE64_STANDARD.encode(header),
        "frames": frames.iter().map(|frame| BASE64_STANDARD.encode(frame)).collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes()
}

#[test]
#[ignore = "needs node"]
fn plain_javascript_opens_a_sealed_stream_and_refuses_a_broken_one() {
    let reader = Identity::generate();
    let (mut sealer, header) = Sealer::new(
        "run-1",
        3,
        "logs",
        &[Identity::generate().recipient(), reader.recipient()],
    );
    let mut frames: Vec<Vec<u8>> = (0..300)
        .map(|line| sealer.frame(format!("line {line}\n").as_bytes()))
        .collect();
    frames.push(sealer.finish("ende — fin\n".as_bytes()));
    let node = |frames: &[Vec<u8>]| {
        run(
            Command::new("node").arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/sealed/open.mjs"
            )),
            &request(&reader, &header, frames),
        )
    };
    let expected: String = (0..300)
        .map(|line| format!("line {line}\n"))
        .chain(["ende — fin\n".to_owned()])
        .collect();
    assert_eq!(
        String::from_utf8(node(&frames).expect("opens")).expect("text"),
        expected
    );
    assert!(
        node(&frames[..300])
            .expect_err("no final frame")
            .contains("cut off")
    );
    frames.swap(1, 2);
    assert!(
        node(&frames)
            .expect_err("swapped frames")
            .contains("out of order")
    );
    frames.swap(1, 2);
    frames[5][20] ^= 1;
    node(&frames).expect_err("an altered frame");
}
