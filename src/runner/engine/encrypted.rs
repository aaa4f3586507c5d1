//! OpenTofu's own encryption of states and plans: how it is asked for, and how a state of it is opened here.
//!
//! The key comes from a program that the engine asks (its key provider `external`): this one, which reads it from memory that
//! only the engine of the run inherits. So it stands in no argument, no file and no variable; and nothing is derived from a
//! passphrase, which would cost a second and more in every plan. The name of a provider is written into what is encrypted,
//! so it has the number of its key.
//!
//! A state is read under every key that the environment ever had, and in clear; it is written under the newest one, or in
//! clear where encryption was switched off. So whatever lies there is taken along by the next write.

use std::fmt::Write as _;
use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::seal::plain;

/// How providers and methods are called, before the number of the key, from 1.
const NAME: &str = "windlass_";
/// Where a state in clear says its version, an encrypted one says this.
const PROVIDER: &str = "key_provider.external.windlass_";

/// What a key provider says first.
const GREETING: &str = "{\"magic\":\"OpenTofu-External-Key-Provider\",\"version\":1}\n";

/// The configuration that OpenTofu reads from `TF_ENCRYPTION`. `keys`: where each is read, oldest first. `writes`: whether
/// what is written is encrypted.
pub(crate) fn configuration(program: &Path, keys: &[String], writes: bool, plans: bool) -> String {
    let quoted = |text: &str| Value::from(text).to_string().replace("${", "$${");
    let program = quoted(&program.to_string_lossy());
    let mut text = String::from("method \"unencrypted\" \"clear\" {}\n");
    for (at, key) in keys.iter().enumerate() {
        let name = format!("{NAME}{}", at + 1);
        let key = quoted(key);
        let _ = write!(
            text,
            "key_provider \"external\" \"{name}\" {{\n  command = [{program}, \"inside\", \"--key\", {key}]\n}}\n\
             method \"aes_gcm\" \"{name}\" {{\n  keys = key_provider.external.{name}\n}}\n"
        );
    }
    let mut methods: Vec<String> = (1..=keys.len())
        .rev()
        .map(|number| format!("method.aes_gcm.{NAME}{number}"))
        .collect();
    let clear = "method.unencrypted.clear".to_owned();
    match writes {
        true => methods.push(clear),
        false => methods.insert(0, clear),
    }
    if let (true, true, Some(newest)) = (writes, plans, methods.first()) {
        let _ = writeln!(text, "plan {{\n  method = {newest}\n}}");
    }
    let mut state = String::new();
    for method in methods.iter().rev() {
        let inner = match state.is_empty() {
            true => String::new(),
            false => format!("  fallback {{\n{state}  }}\n"),
        };
        state = format!("  method = {method}\n{inner}");
    }
    let _ = writeln!(text, "state {{\n{state}}}");
    text
}

/// What a key provider prints before it is told anything.
pub(crate) fn greeting() -> &'static str {
    GREETING
}

/// What it answers: the same key to encrypt and to decrypt with.
pub(crate) fn answer(key: &str) -> String {
    json!({"keys": {"encryption_key": key, "decryption_key": key}, "meta": {"external_data": {}}})
        .to_string()
}

#[derive(Deserialize)]
struct Encrypted {
    meta: serde_json::Map<String, Value>,
    encrypted_data: String,
    #[serde(rename = "encryption_version")]
    _version: String,
}

/// The state in clear; as it is where it is in clear already, or where none of the keys opens it.
pub(crate) fn opened(state: Vec<u8>, keys: &[String]) -> Vec<u8> {
    open(&state, keys).unwrap_or(state)
}

fn open(state: &[u8], keys: &[String]) -> Option<Vec<u8>> {
    let encrypted: Encrypted = serde_json::from_slice(state).ok()?;
    let name = encrypted.meta.keys().next()?;
    let number: usize = name.strip_prefix(PROVIDER)?.parse().ok()?;
    let key = BASE64_STANDARD
        .decode(keys.get(number.checked_sub(1)?)?)
        .ok()?;
    let data = BASE64_STANDARD.decode(encrypted.encrypted_data).ok()?;
    plain::open(key.as_slice().try_into().ok()?, &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenTofu 1.12.6 wrote it, and the key.
    const STATE: &str = r#"{"serial":2,"lineage":"f46c6c6e-2e01-e453-094b-02e80e070f6c","meta":{"key_provider.external.windlass_1":"eyJleHRlcm5hbF9kYXRhIjp7fX0="},"encrypted_data":"y+WBLdi3iwDZy2Ufv+O33Shy7H5lYNSkt/yiNwJRJgNaLHd7VLqE0nmC76eKY8pLVkUhLrv7SIJe6Yj28cFnX6QNzbkUf50rdkH0Cjre3oTKS0znfa3w5ZycbpESqoaGh81DDnN6XdqhpO+hHj4kqi/9bYtSyjGHf6kGVpsW/9xpIMUoEYkX5gYANb5RMjXNBJ3Tx8NK3Aov106Id2xmWtlmNZFtXrJwvAcmY+4bvYRcbpIGgkIAmoC4AxvyfsGIQGQX4Yjt55NLMoAMWBtME7d67dk2tpeeVlFgfb805HAXtCu9ibmsnGgksyQ5DxDJTCIFRzdpz37/Kkn4HdwrGTLsPUEZmPW7ErH8iT92VvT8uRQxFxokcyV665ye8VGPIQpgPdzAZ2bPvVRQ3qiLxEtuMPHUvDst6VEKJFc/6wWGox2jSP8cuXEdPEyq0Yt5Hrnu5L0byJWcZ4dueg3+4DF+OKVHy7tBqhHYFbFRhROlYmG+E6Qgblwayc/U4qn6QzSASUBQHMwMY70ApdJZDVCbfLIE+d+N8ojS2Q6F4Ou2Tl6Wp8j7hQBevGNUgPcR8YuY1hTuEHCX1Ngq9nfUW0RA3JATKSAjAybrzmfQCrpBOCix4xS1NGfBa8qiP2sSxaMty5+b5h80oh8ozk0ryh0ia/hmTMwAwwcMj/RzDamuVTQ=","encryption_version":"v0"}"#;
    const KEY: &str = "gvvba4Rn29jQ4vSWE9BLgzTc+fVcLtE+wTxNL0jVQFk=";

    #[test]
    fn a_state_as_the_engine_encrypts_it_is_opened() {
        let opened = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            String::from_utf8(opened(STATE.as_bytes().to_vec(), &keys)).expect("text")
        };
        let clear = opened(&[KEY, "a later one"]);
        assert!(clear.contains("\"terraform_data\""), "{clear}");
        for keys in [&[] as &[&str], &["AAAA"], &["a", KEY]] {
            assert_eq!(opened(keys), STATE);
        }
        assert_eq!(super::opened(b"{}".to_vec(), &[KEY.to_owned()]), b"{}");
    }

    #[test]
    fn the_newest_key_writes_and_all_before_it_and_none_read() {
        let text = configuration(
            Path::new("/a \"b\" ${c}"),
            &["/dev/fd/7".into(), "/dev/fd/8".into()],
            true,
            true,
        );
        let provider = |number: u32, file: &str| {
            format!(
                "key_provider \"external\" \"windlass_{number}\" {{\n  command = [\"/a \\\"b\\\" $${{c}}\", \"inside\", \"--key\", \"{file}\"]\n}}\n\
                 method \"aes_gcm\" \"windlass_{number}\" {{\n  keys = key_provider.external.windlass_{number}\n}}\n"
            )
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let ending = "plan { method = method.aes_gcm.windlass_2 } state { method = method.aes_gcm.windlass_2 \
             fallback { method = method.aes_gcm.windlass_1 fallback { method = method.unencrypted.clear } } }";
        assert!(text.contains(&provider(1, "/dev/fd/7")), "{text}");
        assert!(text.contains(&provider(2, "/dev/fd/8")), "{text}");
        assert!(words.join(" ").ends_with(ending), "{text}");
        let off = configuration(Path::new("/p"), &["/dev/fd/7".into()], false, true);
        let words: Vec<&str> = off.split_whitespace().collect();
        let ending = "state { method = method.unencrypted.clear fallback { method = method.aes_gcm.windlass_1 } }";
        assert!(words.join(" ").ends_with(ending), "{off}");
        assert!(!off.contains("plan {"), "{off}");
    }
}
