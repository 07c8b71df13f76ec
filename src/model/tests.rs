//! x
use std::time::Instant;

use stateright::{Checker, HasDiscoveries};

use super::*;

fn explore(bounds: Bounds, bug: Option<Bug>) {
    let started = Instant::now();
    let cluster = Cluster { bounds, bug };
    let mut out = std::io::stderr();
    let mut reporter = stateright::report::WriteReporter::new(&mut out);
    let _ = &mut reporter;
    let checker = cluster
        .clone()
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(std::time::Duration::from_secs(
            std::env::var("T").map_or(60, |t| t.parse().unwrap()),
        ))
        .spawn_bfs()
        .join();
    eprintln!(
        "{bug:?} {bounds:?}: unique {} all {} depth {} {:?} done {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed(),
        checker.is_done()
    );
    let discoveries = checker.discoveries();
    for property in cluster.properties() {
        let Some(path) = discoveries.get(property.name) else {
            continue;
        };
        let path = path.clone().into_vec();
        eprintln!("  {:?} {} ({} steps)", property.expectation, property.name, path.len() - 1);
        if property.expectation.discovery_is_failure() && std::env::var("TRACE").is_ok() {
            for (world, action) in path {
                match action {
                    Some(action) => eprintln!("{}", world.describe(action)),
                    None => eprintln!("{}", world.standing()),
                }
            }
        }
    }
}

#[test]
#[ignore]
fn explore_env() {
    let get = |name: &str, default: u64| std::env::var(name).map_or(default, |v| v.parse().unwrap());
    let bounds = Bounds {
        servers: get("S", 3),
        terms: get("TERMS", 2),
        commands: get("C", 1),
        messages: get("M", 2) as usize,
        crashes: get("CR", 1),
        fast_disks: get("FAST", 0) == 1,
        batch: get("B", 1) as usize,
    };
    let bugs = [
        Bug::VoteTwice, Bug::IndexBeforeTerm, Bug::RefusalIsAVote, Bug::TruncateAlways, Bug::CommitPastVerified,
        Bug::AcknowledgeLastIndex, Bug::CommitEarlierTerm, Bug::CountUnsaved, Bug::VoteKept, Bug::PromiseBeforeSave,
        Bug::ForgetVote, Bug::CommitBeforeMatch, Bug::TermNotSaved, Bug::VoteBeforeSave, Bug::AcknowledgeBeforeSave,
    ];
    let wanted = std::env::var("BUG").unwrap_or_default();
    if wanted.is_empty() { explore(bounds, None); }
    for bug in bugs {
        if wanted == "all" || wanted.split(',').any(|w| w == format!("{bug:?}")) {
            explore(bounds, Some(bug));
        }
    }
}
