//! What an agent and its server say to each other about runs: one message, one answer, each a document that begins with
//! its version.
//!
//! Every message names the epoch of the agent's lease, and whatever concerns a run names run and attempt, so that one
//! that comes late or twice, or from an agent whose place another one has, changes nothing that it may not change. All
//! of them may be sent again.

use serde::{Deserialize, Serialize};

use crate::runner::event::Event;
use crate::runner::{Adoptable, Assignment, Handle, RunEnd, RunKey};
use crate::store::host::Seat;
use crate::wire::agents::About;
use crate::wire::state::Open;

/// The version of the documents; a server reads this one and the one before.
pub(crate) const VERSION: u32 = 1;
/// The oldest that is read.
const OLDEST: u32 = 1;

/// From the agent.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    /// [`VERSION`], first.
    pub(crate) version: u32,
    /// Of its lease; 0 in the message that takes it.
    pub(crate) epoch: i64,
    /// What it says.
    pub(crate) say: Say,
}

/// What an agent says.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Say {
    /// It begins to work: takes the lease, and with it every run that it has.
    Hello {
        /// Where it sits.
        seat: Seat,
        /// What it is.
        about: About,
    },
    /// It is there. Answered when there is something to do, or after `wait_ms`.
    Renew {
        /// Runs that it carries and that nobody has asked to cancel yet.
        runs: Vec<RunKey>,
        /// Whether it could carry another.
        is_free: bool,
        /// Milliseconds.
        wait_ms: u64,
    },
    /// It takes the next run, if there is any. One that was given before and is not among `known` is given again.
    Claim {
        /// Every run that it knows of.
        known: Vec<RunKey>,
    },
    /// It wants to know which runs it has.
    Running,
    /// What was started for a run, before it got its job.
    Launched {
        /// The attempt.
        key: RunKey,
        /// What was started.
        handle: Handle,
    },
    /// What is being done before a run can speak.
    Preparing {
        /// The attempt.
        key: RunKey,
        /// `image`, `starting`.
        what: String,
    },
    /// What a run said.
    Events {
        /// The attempt.
        key: RunKey,
        /// In order.
        events: Vec<Event>,
    },
    /// An event that the server does not take, so that those behind it can follow.
    Skip {
        /// The attempt.
        key: RunKey,
        /// Its number.
        seq: u64,
    },
    /// It wants to see the state that the server keeps, after a run that died.
    State {
        /// The attempt.
        key: RunKey,
    },
    /// What a run that died left open.
    LeftOpen {
        /// The attempt.
        key: RunKey,
        /// What.
        open: Open,
    },
    /// How an attempt ended.
    Complete {
        /// The attempt.
        key: RunKey,
        /// How.
        end: RunEnd,
    },
}

/// From the server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// [`VERSION`], first.
    pub(crate) version: u32,
    /// What it answers.
    pub(crate) say: Reply,
}

/// What a server answers.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// To `hello`: the lease.
    Held {
        /// Its epoch.
        epoch: i64,
        /// How long it runs without being renewed, in milliseconds.
        lease_ms: u64,
    },
    /// To `renew`.
    News {
        /// Runs that are to be stopped.
        cancelled: Vec<RunKey>,
        /// Whether there is a run to claim.
        has_work: bool,
    },
    /// To `claim`.
    Claimed(Option<Box<Assignment>>),
    /// To `running`.
    Running(Vec<Adoptable>),
    /// To `launched`: whether the attempt is still the one that counts.
    Launched(bool),
    /// To `state`: the state in base64, if there is one.
    State(Option<String>),
    /// To everything else.
    Done,
}

impl Message {
    /// Reads one; fails in words that are fit for whoever runs the agent.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_slice(bytes)
            .map_err(|error| format!("this is no message of an agent: {error}"))?;
        if !(OLDEST..=VERSION).contains(&head.version) {
            return Err(format!(
                "the agent speaks version {} of the protocol, and this server speaks {OLDEST} to {VERSION}: use an agent \
                 of this server's version, {}",
                head.version,
                env!("CARGO_PKG_VERSION")
            ));
        }
        serde_json::from_slice(bytes)
            .map_err(|error| format!("the message of the agent could not be read: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_refused_by_its_version_before_anything_else_of_it_is_read() {
        let read = |text: &str| Message::read(text.as_bytes()).err().unwrap_or_default();
        assert!(read("{}").contains("missing field `version`"));
        assert!(read(r#"{"version":2,"to":"come"}"#).contains("this server speaks 1 to 1"));
        assert!(
            read(r#"{"version":1,"epoch":1,"say":{"sing":1}}"#).contains("unknown variant `sing`")
        );
        assert_eq!(read(r#"{"version":1,"epoch":1,"say":"running"}"#), "");
    }

    /// Sent by agents of 0.1; every later server reads it.
    #[test]
    fn what_version_1_says_is_read() {
        let key = r#""key":{"run":"r","attempt":1}"#;
        for say in [
            r#"{"renew":{"runs":[{"run":"r","attempt":1}],"is_free":true,"wait_ms":1}}"#.to_owned(),
            r#"{"claim":{"known":[]}}"#.to_owned(),
            format!(r#"{{"launched":{{{key},"handle":{{"process":{{"pid":1,"started":2}}}}}}}}"#),
            format!(r#"{{"preparing":{{{key},"what":"image"}}}}"#),
            format!(
                r#"{{"events":{{{key},"events":[{{"v":1,"run":"r","attempt":1,"seq":1,"at_us":1,"kind":{{"accepted":{{"bundle_digest":"sha256:0"}}}}}}]}}}}"#
            ),
            format!(r#"{{"skip":{{{key},"seq":1}}}}"#),
            format!(r#"{{"state":{{{key}}}}}"#),
            format!(r#"{{"left_open":{{{key},"open":{{"unrecorded":[],"in_flight":[]}}}}}}"#),
            format!(r#"{{"complete":{{{key},"end":"finished"}}}}"#),
            format!(r#"{{"complete":{{{key},"end":{{"never_began":{{"message":"m"}}}}}}}}"#),
        ] {
            let text = format!(r#"{{"version":1,"epoch":7,"say":{say}}}"#);
            let message = Message::read(text.as_bytes()).expect("is read");
            assert_eq!(serde_json::to_string(&message).expect("is written"), text);
        }
    }
}
