//! Every message survives the way over the wire, and whatever a leader may send, a follower takes.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use raftian::application::Kind;
use raftian::command::{Command, MAX_CLIENT_BYTES, MAX_SERIAL, MAX_TEXT_BYTES};
use raftian::machine::Answer;
use raftian::node::event::{
    Errand, ErrandReply, Forward, ForwardReply, MemberStatus, Members, PeerReply, PeerRequest,
    Question, Refusal, Response,
};
use raftian::raft::configuration::MAX_NODE_ID;
use raftian::raft::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Change, Configuration, Entry, InstallOutcome,
    InstallSnapshot, InstallSnapshotReply, MAX_TERM, Member, Payload, Rejected, Reply, Request,
    RequestVote, RequestVoteReply, RoleName, Standing, TimeoutNow, TimeoutNowReply,
};
use raftian::rpc::codec::{self, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, MAX_PART_BYTES};
use raftian::rpc::http::Limits;
use raftian::rpc::methods::{self, Asked, ReplyKind};
use raftian::rpc::value::Fault;
use raftian::rpc::xml;
use raftian::status::{PeerStatus, Status};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..100u64, Just(i64::MAX as u64), 0..=i64::MAX as u64]
}

fn command() -> impl Strategy<Value = Arc<Command>> {
    // Texts of every kind: plain, with markup, with control characters and separators.
    let text = prop_oneof!["[ -~]{0,30}", "\\PC{0,30}", "[\\x00-\\x{10ffff}]{0,30}"];
    ("[ -~]{1,64}", 0..=MAX_SERIAL, text)
        .prop_map(|(client, serial, text)| Arc::new(Command::new(client, serial, text).unwrap()))
}

fn configuration() -> impl Strategy<Value = Arc<Configuration>> {
    let standing = prop_oneof![
        Just(Standing::Voter),
        Just(Standing::Incoming),
        Just(Standing::Outgoing),
        Just(Standing::Learner),
    ];
    let member = (1..=MAX_NODE_ID, "[a-zA-Z0-9_-]{1,20}", standing);
    let one = Member {
        name: "one".to_string(),
        address: "one:1".to_string(),
        standing: Standing::Voter,
    };
    vec(member, 0..9).prop_map(move |members| {
        let member = |(id, name, standing): (u64, String, Standing)| {
            let (name, address) = (format!("{name}-{id}"), format!("host-{id}:8001"));
            (
                id,
                Member {
                    name,
                    address,
                    standing,
                },
            )
        };
        let others = members.into_iter().map(member);
        let all = others.chain([(1, one.clone())]).collect();
        Arc::new(Configuration::new(all).unwrap())
    })
}

fn errand() -> impl Strategy<Value = Errand> {
    let ids = || vec(number(), 0..4).prop_map(|ids| ids.into_iter().collect());
    let added = vec((1..=MAX_NODE_ID, "[a-z]{1,9}"), 0..4).prop_map(|added| {
        let member = |(id, name): (u64, String)| (id, (name.clone(), format!("{name}:{id}")));
        let short = added.into_iter().map(|(id, name)| (id % 65_535 + 1, name));
        short.map(member).collect()
    });
    let change = (added, ids(), ids()).prop_map(|(add, promote, remove)| {
        Errand::Change(Change {
            add,
            promote,
            remove,
        })
    });
    prop_oneof![
        change,
        option::of(number()).prop_map(Errand::Transfer),
        Just(Errand::Read)
    ]
}

fn members() -> impl Strategy<Value = Members> {
    let numbers = vec(number(), 7);
    (
        numbers,
        option::of(number()),
        any::<bool>(),
        any::<bool>(),
        configuration(),
    )
        .prop_map(
            |(numbers, leader, committed, joint, configuration)| Members {
                cluster: "lan".to_string(),
                machine: Kind::ALL[usize::from(joint)],
                id: numbers[0],
                leader,
                term: numbers[1],
                index: numbers[2],
                committed,
                joint,
                members: configuration
                    .members()
                    .iter()
                    .map(|(&id, member)| MemberStatus {
                        id,
                        name: member.name.clone(),
                        address: member.address.clone(),
                        standing: member.standing,
                        match_index: leader,
                    })
                    .collect(),
                heartbeat_ms: numbers[3],
                election_timeout_ms: (numbers[4], numbers[5]),
                snapshot_entries: numbers[6],
            },
        )
}

fn entry() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        Just(Payload::Noop),
        command().prop_map(Payload::Command),
        configuration().prop_map(Payload::Founding),
        configuration().prop_map(Payload::Configuration),
    ];
    (number(), number(), payload).prop_map(|(index, term, payload)| Entry {
        index,
        term,
        payload,
    })
}

fn request() -> impl Strategy<Value = PeerRequest> {
    let append = (
        number(),
        number(),
        number(),
        number(),
        vec(entry(), 0..5),
        number(),
    )
        .prop_map(
            |(term, leader_id, prev_log_index, prev_log_term, entries, leader_commit)| {
                PeerRequest::Raft(Request::AppendEntries(AppendEntries {
                    term,
                    leader_id,
                    prev_log_index,
                    prev_log_term,
                    entries,
                    leader_commit,
                }))
            },
        );
    let flags = (any::<bool>(), any::<bool>());
    let vote = (number(), number(), number(), number(), flags).prop_map(
        |(term, candidate_id, last_log_index, last_log_term, (pre_vote, transfer))| {
            PeerRequest::Raft(Request::RequestVote(RequestVote {
                term,
                candidate_id,
                last_log_index,
                last_log_term,
                pre_vote,
                transfer,
            }))
        },
    );
    let timeout = (number(), number()).prop_map(|(term, leader_id)| {
        PeerRequest::Raft(Request::TimeoutNow(TimeoutNow { term, leader_id }))
    });
    let errand = (number(), errand())
        .prop_map(|(sender_id, errand)| PeerRequest::Errand { sender_id, errand });
    let forward = (number(), vec(command(), 1..5)).prop_map(|(sender_id, commands)| {
        PeerRequest::Forward(Forward {
            sender_id,
            commands,
        })
    });
    let install = (
        (number(), number(), number(), number(), number()),
        prop_oneof![configuration(), Just(Arc::default())],
        vec(any::<u8>(), 0..50),
        any::<bool>(),
    )
        .prop_map(
            |(
                (term, leader_id, last_included_index, last_included_term, offset),
                configuration,
                data,
                done,
            )| {
                PeerRequest::Raft(Request::InstallSnapshot(InstallSnapshot {
                    term,
                    leader_id,
                    last_included_index,
                    last_included_term,
                    configuration,
                    offset,
                    data,
                    done,
                }))
            },
        );
    prop_oneof![
        append,
        vote,
        install,
        timeout,
        forward,
        errand,
        Just(PeerRequest::Status),
        Just(PeerRequest::Members),
    ]
}

fn reply() -> impl Strategy<Value = PeerReply> {
    let outcome = prop_oneof![
        number().prop_map(AppendOutcome::Matched),
        (option::of(number()), number())
            .prop_map(|(term, index)| AppendOutcome::Conflict { term, index }),
    ];
    let append = (number(), outcome).prop_map(|(term, outcome)| {
        PeerReply::Raft(Reply::AppendEntries(AppendEntriesReply { term, outcome }))
    });
    let vote = (number(), any::<bool>()).prop_map(|(term, vote_granted)| {
        PeerReply::Raft(Reply::RequestVote(RequestVoteReply { term, vote_granted }))
    });
    let forward = prop_oneof![
        (number(), number()).prop_map(|(term, index)| ForwardReply::Appended { term, index }),
        option::of(number()).prop_map(|leader| ForwardReply::NotAppended { leader }),
    ];
    let outcome = prop_oneof![
        Just(InstallOutcome::Installed),
        number().prop_map(InstallOutcome::Next),
    ];
    let install = (number(), outcome).prop_map(|(term, outcome)| {
        PeerReply::Raft(Reply::InstallSnapshot(InstallSnapshotReply {
            term,
            outcome,
        }))
    });
    let timeout = (number(), any::<bool>()).prop_map(|(term, campaigns)| {
        PeerReply::Raft(Reply::TimeoutNow(TimeoutNowReply { term, campaigns }))
    });
    let errand = prop_oneof![
        (number(), number()).prop_map(|(term, index)| ErrandReply::Placed { term, index }),
        number().prop_map(|term| ErrandReply::HandingOver { term }),
        number().prop_map(|index| ErrandReply::ReadAt { index }),
        option::of(number()).prop_map(|leader| ErrandReply::NotLeader { leader }),
        "[ -~]{0,40}".prop_map(ErrandReply::Refused),
    ];
    prop_oneof![
        append,
        vote,
        install,
        timeout,
        forward.prop_map(PeerReply::Forward),
        errand.prop_map(PeerReply::Errand),
        members().prop_map(PeerReply::Members),
        status().prop_map(PeerReply::Status),
    ]
}

fn status() -> impl Strategy<Value = Status> {
    let peer = (
        number(),
        "[ -~]{0,12}",
        option::of(number()),
        option::of(number()),
        option::of(0.0..1e6f64),
    )
        .prop_map(|(id, name, match_index, next_index, rtt_ms)| PeerStatus {
            id,
            address: format!("{name}:1"),
            name,
            match_index,
            next_index,
            rtt_ms,
        });
    let role = prop_oneof![
        Just(RoleName::Follower),
        Just(RoleName::Learner),
        Just(RoleName::Candidate),
        Just(RoleName::Leader)
    ];
    (
        vec(number(), 5),
        role,
        option::of(number()),
        vec(peer, 0..4),
    )
        .prop_map(|(numbers, role, leader, peers)| Status {
            id: numbers[0],
            name: "bob1".to_string(),
            role,
            term: numbers[1],
            leader,
            commit_index: numbers[2],
            last_applied: numbers[3],
            last_index: numbers[4],
            digest: "0123456789abcdef".to_string(),
            peers,
        })
}

fn asked(document: &[u8]) -> Question {
    match methods::read(document).0 {
        Ok(Asked::Question(question)) => question,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn what_a_node_asks_a_peer_arrives_as_it_was(request in request()) {
        let expected = match request.clone() {
            PeerRequest::Raft(request) => Question::Raft(request),
            PeerRequest::Forward(forward) => Question::Forward(forward),
            PeerRequest::Errand { sender_id, errand } => Question::Errand { sender_id, errand },
            PeerRequest::Members => Question::Members,
            PeerRequest::Status => Question::Status,
        };
        prop_assert_eq!(asked(&methods::call(&request)), expected);
    }

    #[test]
    fn what_a_peer_answers_arrives_as_it_was(reply in reply()) {
        let (kind, response) = match reply.clone() {
            PeerReply::Raft(Reply::AppendEntries(reply)) =>
                (ReplyKind::AppendEntries, Response::Raft(Reply::AppendEntries(reply))),
            PeerReply::Raft(Reply::RequestVote(reply)) =>
                (ReplyKind::RequestVote, Response::Raft(Reply::RequestVote(reply))),
            PeerReply::Raft(Reply::InstallSnapshot(reply)) =>
                (ReplyKind::InstallSnapshot, Response::Raft(Reply::InstallSnapshot(reply))),
            PeerReply::Raft(Reply::TimeoutNow(reply)) =>
                (ReplyKind::TimeoutNow, Response::Raft(Reply::TimeoutNow(reply))),
            PeerReply::Errand(reply) => (ReplyKind::Errand, Response::Errand(reply)),
            PeerReply::Members(members) => (ReplyKind::Members, Response::Members(members)),
            PeerReply::Forward(reply) => (ReplyKind::Forward, Response::Forward(reply)),
            PeerReply::Status(status) => (ReplyKind::Status, Response::Status(status)),
        };
        let value = xml::decode_response(&methods::write(Ok(response))).unwrap().unwrap();
        prop_assert_eq!(methods::decode_reply(kind, &value).unwrap(), reply);
    }

    #[test]
    fn an_entry_takes_no_more_room_than_the_core_counts(entry in entry()) {
        let size = |entries: Vec<Entry>| {
            methods::call(&PeerRequest::Raft(Request::AppendEntries(AppendEntries {
                term: 1,
                leader_id: 1,
                prev_log_index: 1,
                prev_log_term: 1,
                entries,
                leader_commit: 1,
            }))).len()
        };
        let counted = entry.encoded_len();
        prop_assert!(size(vec![entry]) - size(vec![]) <= counted);
    }

    #[test]
    fn any_value_in_place_of_a_message_is_a_fault_and_no_panic(
        method in prop_oneof![
            Just("append_entries_rpc"), Just("request_vote_rpc"), Just("install_snapshot_rpc"),
            Just("forward_rpc"), Just("timeout_now_rpc"), Just("errand_rpc"),
            Just("cluster.add"), Just("cluster.promote"), Just("cluster.remove"),
            Just("submit_rpc"), Just("game.attack"), Just("system.methodHelp"),
        ],
        wrong in vec(prop_oneof![
            Just("<int>-1</int>"), Just("<string>x</string>"), Just("<nil/>"),
            Just("<struct></struct>"), Just("<array><data></data></array>"),
            Just("<struct><member><name>term</name><value><string>1</string></value></member></struct>"),
        ], 0..4),
    ) {
        let params: String = wrong.iter()
            .map(|value| format!("<param><value>{value}</value></param>"))
            .collect();
        let document =
            format!("<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>");
        // Any string is a fine third parameter for submit_rpc, any number a player to look up.
        if let Err(fault) = methods::read(document.as_bytes()).0 {
            prop_assert_eq!(fault.code, Fault::WRONG_PARAMETERS, "{}", fault);
        }
    }
}

#[test]
fn the_largest_part_of_a_snapshot_fits_into_one_body() {
    let body = methods::call(&PeerRequest::Raft(Request::InstallSnapshot(
        InstallSnapshot {
            term: MAX_TERM,
            leader_id: u64::MAX >> 1,
            last_included_index: u64::MAX >> 1,
            last_included_term: MAX_TERM,
            configuration: Configuration::of_voters(1..=32).into(),
            offset: u64::MAX >> 1,
            data: vec![255; MAX_PART_BYTES],
            done: true,
        },
    )));
    assert!(body.len() <= Limits::default().max_body);
    assert!(methods::read(&body).0.is_ok());
}

/// An AppendEntries with the largest numbers there are around these entries.
fn widest(entries: Vec<Entry>) -> Vec<u8> {
    methods::call(&PeerRequest::Raft(Request::AppendEntries(AppendEntries {
        term: MAX_TERM,
        leader_id: u64::MAX >> 1,
        prev_log_index: u64::MAX >> 1,
        prev_log_term: MAX_TERM,
        entries,
        leader_commit: u64::MAX >> 1,
    })))
}

fn widest_entry(text: &str) -> Entry {
    let client = "&".repeat(MAX_CLIENT_BYTES);
    Entry {
        index: u64::MAX >> 1,
        term: MAX_TERM,
        payload: Payload::Command(Arc::new(Command::new(client, MAX_SERIAL, text).unwrap())),
    }
}

#[test]
fn the_largest_batches_stay_within_a_followers_limits() {
    let most = Limits::default().max_body;
    let full = widest(vec![widest_entry("attack 3"); MAX_BATCH_ENTRIES]);
    assert!(matches!(asked(&full), Question::Raft(_)), "too many values");

    // As many as the core would put together by their counted sizes.
    for text in [
        "attack 3".to_string(),
        "<".repeat(2_000),
        "é\n".repeat(9_000),
    ] {
        let entry = widest_entry(&text);
        let fit = (MAX_BATCH_BYTES / entry.encoded_len()).clamp(1, MAX_BATCH_ENTRIES);
        let document = widest(vec![entry; fit]);
        assert!(document.len() <= most, "{} bytes", document.len());
        assert!(matches!(asked(&document), Question::Raft(_)));
    }
}

#[test]
fn the_longest_command_can_be_sent_and_a_longer_one_is_refused_at_the_door() {
    let most = Limits::default().max_body;
    for text in ["a".repeat(MAX_TEXT_BYTES), "\n".repeat(MAX_TEXT_BYTES)] {
        let document = widest(vec![widest_entry(&text)]);
        assert!(document.len() <= most, "{} bytes", document.len());
        let Question::Raft(Request::AppendEntries(request)) = asked(&document) else {
            panic!("not an append");
        };
        assert_eq!(request.entries, [widest_entry(&text)]);
    }
    let params = [
        "client".into(),
        1.into(),
        "a".repeat(MAX_TEXT_BYTES + 1).into(),
    ];
    let refused = methods::read(&xml::encode_call("submit_rpc", &params)).0;
    assert_eq!(refused.unwrap_err().code, Fault::WRONG_PARAMETERS);
}

#[test]
fn refusals_have_the_documented_codes() {
    let code = |refusal| {
        let document = methods::write(Err(refusal));
        xml::decode_response(&document).unwrap().unwrap_err().code
    };
    assert_eq!(code(Refusal::Invalid("no".into())), -32602);
    for refusal in [
        Refusal::NoLeader,
        Refusal::OutcomeUnknown,
        Refusal::SerialTooOld,
        Refusal::Full,
        Refusal::Rejected(Rejected::NotAMember(7)),
    ] {
        assert_eq!(code(refusal), -32500);
    }
}

#[test]
fn an_answer_arrives_as_it_was() {
    let answer = Answer {
        index: 12,
        term: 3,
        outcome: "hp 70".to_string(),
    };
    let document = methods::write(Ok(Response::Applied(answer.clone())));
    let value = xml::decode_response(&document).unwrap().unwrap();
    assert_eq!(codec::decode_answer(&value).unwrap(), answer);
}
