//! Whole age files (age-encryption.org/v1, binary): for recipients whose clients open nothing else.
//!
//! Every file has a fresh file key, which the `age` crate draws. Never used for live lines: an age file can be read only once
//! it is whole.

use std::io::{self, Read, Write};

use super::key::{Identity, Recipient};

/// Why an age file could not be opened.
#[derive(Debug, thiserror::Error)]
#[expect(clippy::enum_variant_names, reason = "each says what the file is not")]
pub(crate) enum AgeError {
    /// Not an age file, or one whose beginning is missing.
    #[error("this is not an age file")]
    NotAge,
    /// Sealed to other keys.
    #[error("the age file is not sealed to this key")]
    NotForThisKey,
    /// Changed or cut off.
    #[error("the age file was altered or cut off")]
    NotAuthentic,
}

/// Writes one age file to `W`; must be finished, else it reads as cut off.
pub(crate) struct AgeFile<W: Write>(age::stream::StreamWriter<W>);

impl<W: Write> AgeFile<W> {
    /// Begins a file for these recipients, at least one. Fails only where `out` does.
    pub(crate) fn new(recipients: &[Recipient], out: W) -> io::Result<Self> {
        let keys: Vec<age::x25519::Recipient> = recipients
            .iter()
            .map(|recipient| {
                recipient
                    .to_string()
                    .parse()
                    .expect("our recipient text is age's")
            })
            .collect();
        let encryptor =
            age::Encryptor::with_recipients(keys.iter().map(|key| key as &dyn age::Recipient))
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no recipient"))?;
        Ok(Self(encryptor.wrap_output(out)?))
    }

    /// Writes the end and gives `W` back.
    pub(crate) fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for AgeFile<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Seals `plain` as a whole age file. Needs at least one recipient.
#[cfg(test)]
pub(crate) fn seal(recipients: &[Recipient], plain: &[u8]) -> Vec<u8> {
    let mut file =
        AgeFile::new(recipients, Vec::new()).expect("memory takes it, and there is a recipient");
    file.write_all(plain).expect("memory takes it");
    file.finish().expect("memory takes it")
}

/// Opens a whole age file.
pub(crate) fn open(identity: &Identity, file: &[u8]) -> Result<Vec<u8>, AgeError> {
    let key: age::x25519::Identity = identity
        .expose_secret()
        .parse()
        .expect("our identity text is age's");
    let reason = |error| match error {
        age::DecryptError::NoMatchingKeys => AgeError::NotForThisKey,
        age::DecryptError::InvalidHeader | age::DecryptError::UnknownFormat => AgeError::NotAge,
        _ => AgeError::NotAuthentic,
    };
    let mut plain = Vec::new();
    age::Decryptor::new_buffered(file)
        .map_err(|error| match error {
            age::DecryptError::Io(_) => AgeError::NotAge,
            other => reason(other),
        })?
        .decrypt(std::iter::once(&key as &dyn age::Identity))
        .map_err(reason)?
        .read_to_end(&mut plain)
        .map_err(|_| AgeError::NotAuthentic)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_file_opens_with_each_recipients_key_and_no_other() {
        let (one, two, other) = (
            Identity::generate(),
            Identity::generate(),
            Identity::generate(),
        );
        let file = seal(&[one.recipient(), two.recipient()], b"secret");
        assert_eq!(open(&one, &file).expect("opens"), b"secret");
        assert_eq!(open(&two, &file).expect("opens"), b"secret");
        assert!(matches!(open(&other, &file), Err(AgeError::NotForThisKey)));
    }

    #[test]
    fn two_age_files_of_the_same_bytes_differ() {
        let key = Identity::generate();
        assert_ne!(
            seal(&[key.recipient()], b"x"),
            seal(&[key.recipient()], b"x")
        );
    }

    #[test]
    fn an_age_file_that_was_altered_or_cut_off_is_refused() {
        let key = Identity::generate();
        let file = seal(&[key.recipient()], &vec![7; 200_000]);
        for cut in [0, 3, 40, 100, file.len() - 70_000, file.len() - 1] {
            assert!(open(&key, &file[..cut]).is_err(), "cut at {cut}");
        }
        let mut altered = file.clone();
        let end = altered.len() - 5;
        altered[end] ^= 1;
        assert!(matches!(open(&key, &altered), Err(AgeError::NotAuthentic)));
        assert!(matches!(
            open(&key, b"hello, hello, hello"),
            Err(AgeError::NotAge)
        ));
    }
}
