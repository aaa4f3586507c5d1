//! Behaviour of sealed streams.

use proptest::prelude::*;

use super::*;

const RUN: &str = "01938d5e-0000-7000-8000-000000000001";

/// Seals `parts` as one stream; the last part is the final frame.
fn sealed(reader: &Identity, parts: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut sealer, header) = Sealer::new(RUN, 1, "logs", &[reader.recipient()]);
    let (last, before) = parts.split_last().expect("at least one part");
    let mut frames: Vec<Vec<u8>> = before.iter().map(|part| sealer.frame(part)).collect();
    frames.push(sealer.finish(last));
    (header, frames)
}

fn opener(reader: &Identity, header: &[u8]) -> Opener {
    Opener::new(RUN, 1, "logs", header, reader).expect("the key fits")
}

#[test]
fn every_reader_opens_the_stream_and_a_stranger_does_not() {
    let (one, two, stranger) = (
        Identity::generate(),
        Identity::generate(),
        Identity::generate(),
    );
    let (sealer, header) = Sealer::new(
        RUN,
        1,
        "logs",
        &[one.recipient(), two.recipient(), one.recipient()],
    );
    let frame = sealer.finish(b"hello");
    for reader in [&one, &two] {
        let opened = opener(reader, &header).open(&frame).expect("opens");
        assert_eq!((&opened.bytes[..], opened.last), (&b"hello"[..], true));
    }
    assert_eq!(
        Opener::new(RUN, 1, "logs", &header, &stranger).err(),
        Some(OpenError::NotForThisKey(2))
    );
    assert_eq!(
        readers(&header),
        Ok(vec![one.key_id(), two.key_id()]),
        "given twice, wrapped once"
    );
}

#[test]
fn a_stream_opens_only_as_what_it_is() {
    let reader = Identity::generate();
    let (header, _) = sealed(&reader, &[b"x"]);
    for (run, attempt, stream) in [
        ("another", 1, "logs"),
        (RUN, 2, "logs"),
        (RUN, 1, "outputs"),
    ] {
        assert_eq!(
            Opener::new(run, attempt, stream, &header, &reader).err(),
            Some(OpenError::NotAuthentic)
        );
    }
}

#[test]
fn frames_of_two_streams_do_not_mix() {
    let reader = Identity::generate();
    let (header, _) = sealed(&reader, &[b"a", b"b"]);
    let (_, other) = sealed(&reader, &[b"a", b"b"]);
    assert_eq!(
        opener(&reader, &header).open(&other[0]),
        Err(OpenError::NotAuthentic)
    );
}

#[test]
fn missing_swapped_and_repeated_frames_are_named() {
    let reader = Identity::generate();
    let (header, frames) = sealed(&reader, &[b"a", b"b", b"c"]);
    let mut opener = opener(&reader, &header);
    assert_eq!(
        opener.open(&frames[1]),
        Err(OpenError::OutOfOrder {
            expected: 1,
            found: 2
        })
    );
    opener.open(&frames[0]).expect("still expects the first");
    assert_eq!(opener.open(&frames[0]), Err(OpenError::Repeated(1)));
    opener.open(&frames[1]).expect("in order");
    opener.open(&frames[2]).expect("in order");
    assert_eq!(opener.open(&frames[2]), Err(OpenError::AfterEnd(3)));
}

#[test]
fn only_the_final_frame_says_that_it_is_so_what_stops_before_it_was_cut_off() {
    let reader = Identity::generate();
    let (header, frames) = sealed(&reader, &[b"a", b"b", b"c"]);
    let mut opener = opener(&reader, &header);
    let last = |frame: &Vec<u8>| opener.open(frame).expect("opens").last;
    assert_eq!(
        frames.iter().map(last).collect::<Vec<_>>(),
        [false, false, true]
    );
}

#[test]
fn the_last_flag_cannot_be_forged() {
    let reader = Identity::generate();
    let (header, mut frames) = sealed(&reader, &[b"a", b"b"]);
    frames[0][8] = 1;
    assert_eq!(
        opener(&reader, &header).open(&frames[0]),
        Err(OpenError::NotAuthentic)
    );
}

#[test]
fn a_reader_may_begin_at_any_frame() {
    let reader = Identity::generate();
    let (header, frames) = sealed(&reader, &[b"a", b"b", b"c"]);
    let mut opener = opener(&reader, &header).start_at(3);
    assert!(opener.open(&frames[2]).expect("opens").last);
}

#[test]
fn every_altered_or_cut_off_header_is_refused() {
    let reader = Identity::generate();
    let (header, _) = sealed(&reader, &[b"x"]);
    for at in 0..header.len() {
        let mut altered = header.clone();
        altered[at] ^= 0x20;
        assert!(
            Opener::new(RUN, 1, "logs", &altered, &reader).is_err(),
            "byte {at}"
        );
        assert!(
            Opener::new(RUN, 1, "logs", &header[..at], &reader).is_err(),
            "cut at {at}"
        );
    }
    let mut future = header.clone();
    future[8] = 2;
    assert_eq!(readers(&future), Err(OpenError::Version(2)));
    assert_eq!(
        readers(&header[..50]),
        Err(OpenError::Short {
            len: 50,
            need: 11 + 112
        })
    );
    assert_eq!(readers(b"age-encryption.org/v1"), Err(OpenError::NotSealed));
}

#[test]
fn every_altered_or_cut_off_frame_is_refused() {
    let reader = Identity::generate();
    let (header, frames) = sealed(&reader, &[b"some bytes"]);
    for at in 0..frames[0].len() {
        let mut altered = frames[0].clone();
        altered[at] ^= 1;
        assert_eq!(
            opener(&reader, &header).open(&altered),
            Err(OpenError::NotAuthentic),
            "byte {at}"
        );
        assert!(
            opener(&reader, &header).open(&frames[0][..at]).is_err(),
            "cut at {at}"
        );
    }
}

#[test]
fn the_runner_reads_its_own_frames_again() {
    let reader = Identity::generate();
    let (mut sealer, _) = Sealer::new(RUN, 1, "logs", &[reader.recipient()]);
    let frames = [sealer.frame(b"one "), sealer.frame(b"two")];
    let mut own = sealer.opener();
    let bytes: Vec<u8> = frames
        .iter()
        .flat_map(|frame| own.open(frame).expect("its own").bytes)
        .collect();
    assert_eq!(bytes, b"one two");
    assert_eq!(sealer.number(), 2);
}

/// Gives the bytes that the vectors use for the ephemeral key.
struct Ephemeral(Vec<u8>);

impl hpke::rand_core::TryRng for Ephemeral {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("only bytes are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("only bytes are drawn")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for Ephemeral {}

#[test]
fn hpke_seals_the_vectors_of_rfc_9180() {
    let public = hex("430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c");
    let (enc, sealed) = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(
        &OpModeS::Base,
        &<Kem as hpke::Kem>::PublicKey::from_bytes(&public).expect("a key"),
        &hex("4f6465206f6e2061204772656369616e2055726e"),
        &hex("4265617574792069732074727574682c20747275746820626561757479"),
        &hex("436f756e742d30"),
        &mut Ephemeral(hex(
            "2cd7c601cefb3d42a62b04b7a9041494c06c7843818e0ce28a8f704ae7ab20f9",
        )),
    )
    .expect("seals");
    assert_eq!(
        enc.to_bytes().as_slice(),
        hex("6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256")
    );
    assert_eq!(
        sealed,
        hex(
            "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a"
        )
    );
}

/// The vectors that accompany RFC 9180, entry mode 0, kem 32, kdf 1, aead 2.
#[test]
fn hpke_opens_the_vectors_of_rfc_9180() {
    let secret = hex("497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d");
    let public = hex("430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c");
    let enc = hex("6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256");
    let info = hex("4f6465206f6e2061204772656369616e2055726e");
    let plain = hex("4265617574792069732074727574682c20747275746820626561757479");
    let secret = <Kem as hpke::Kem>::PrivateKey::from_bytes(&secret).expect("a key");
    assert_eq!(
        <Kem as hpke::Kem>::sk_to_pk(&secret).to_bytes().as_slice(),
        public
    );
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&enc).expect("a key");
    let mut receiver = hpke::setup_receiver::<Aead, Kdf, Kem>(&OpModeR::Base, &secret, &enc, &info)
        .expect("a context");
    for (aad, sealed) in [
        (
            "436f756e742d30",
            "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a",
        ),
        (
            "436f756e742d31",
            "2c43aff25343fdbff864506f0818b9d87df84ea01b1a2144d23b4d40c26bf655fdf197fe40297a8aebeed5cc2d",
        ),
    ] {
        assert_eq!(receiver.open(&hex(sealed), &hex(aad)), Ok(plain.clone()));
    }
    assert_eq!(
        hpke::single_shot_open::<Aead, Kdf, Kem>(
            &OpModeR::Base,
            &secret,
            &enc,
            &info,
            &hex(
                "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a"
            ),
            &hex("436f756e742d30"),
        ),
        Ok(plain)
    );
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_was_sealed_opens(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6)) {
        let reader = Identity::generate();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let (header, frames) = sealed(&reader, &parts);
        let mut opener = opener(&reader, &header);
        for (number, (part, frame)) in parts.iter().zip(&frames).enumerate() {
            let opened = opener.open(frame).expect("opens");
            prop_assert_eq!(&opened.bytes, part);
            prop_assert_eq!(opened.last, number + 1 == parts.len());
        }
    }

    #[test]
    fn any_bytes_are_refused_without_panic(header in prop::collection::vec(any::<u8>(), 0..300), frame in prop::collection::vec(any::<u8>(), 0..100)) {
        let reader = Identity::generate();
        prop_assert!(Opener::new(RUN, 1, "logs", &header, &reader).is_err());
        let (good, _) = sealed(&reader, &[b"x"]);
        prop_assert!(opener(&reader, &good).open(&frame).is_err());
    }
}
