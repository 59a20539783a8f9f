//! Defects put in on purpose: the checkers have to find each of them.

use std::time::Duration;

use quorate::rt::sim::Bug;

use crate::cluster::Setup;
use crate::nemesis::Fault;
use crate::run::Plan;

/// Seeds among which one has to find a defect.
const SEEDS: u64 = 40;

fn plan(seed: u64, faults: &[Fault]) -> Plan {
    Plan {
        seed,
        setup: Setup {
            nodes: 3,
            cores: 1,
            dedicated: false,
            durability: "high",
            votes_unsynced: false,
            reads_by_lease: false,
        },
        faults: faults.to_vec(),
        length: Duration::from_secs(8),
        bug: None,
    }
}

/// Runs seeds until one shows the defect; the same seed without it has to hold.
///
/// `shows` says which failures count: a history that no order explains says more than nodes that
/// do not come together.
fn expect_found(
    what: &str,
    plan: impl Fn(u64) -> Plan,
    shows: impl Fn(&str) -> bool,
    sound: impl Fn(Plan) -> Plan,
) {
    for seed in 0..SEEDS {
        let broken = plan(seed);
        let Err(why) = broken.run() else { continue };
        if !shows(&why) {
            continue;
        }
        let first = why.lines().next().unwrap_or_default();
        eprintln!("{what}: found by seed {seed}: {first}");
        let outcome = sound(broken).run();
        assert!(outcome.is_ok(), "without the defect: {outcome:?}");
        return;
    }
    panic!("{what}: not found by {SEEDS} seeds");
}

fn is_of_a_history(why: &str) -> bool {
    why.contains("not linearizable") || why.contains("not strictly serializable")
}

#[test]
fn acknowledging_before_the_commit_is_found() {
    let faults = [Fault::Kill];
    let broken = |seed| Plan {
        bug: Some(Bug::AcknowledgeBeforeCommit),
        ..plan(seed, &faults)
    };
    expect_found(
        "acknowledged before commit",
        broken,
        is_of_a_history,
        |plan| Plan { bug: None, ..plan },
    );
}

#[test]
fn reading_without_a_read_index_is_found() {
    let faults = [Fault::Partition, Fault::Weather];
    let broken = |seed| Plan {
        bug: Some(Bug::ReadWithoutIndex),
        ..plan(seed, &faults)
    };
    expect_found(
        "read without a read index",
        broken,
        is_of_a_history,
        |plan| Plan { bug: None, ..plan },
    );
}

/// All agree at the end, nothing was lost, and nobody is served.
#[test]
fn never_reading_again_is_found() {
    let broken = |seed| Plan {
        bug: Some(Bug::NoReadsAfterElection),
        ..plan(seed, &[Fault::Kill])
    };
    let shows = |why: &str| why.contains("does not serve");
    expect_found("no reads after an election", broken, shows, |plan| Plan {
        bug: None,
        ..plan
    });
}

#[test]
fn a_round_confirmed_by_an_old_answer_is_found() {
    let broken = |seed| Plan {
        bug: Some(Bug::BelieveOldAnswers),
        ..plan(seed, &[Fault::LateAnswer])
    };
    expect_found(
        "a round confirmed by an old answer",
        broken,
        is_of_a_history,
        |plan| Plan { bug: None, ..plan },
    );
}

#[test]
fn a_vote_that_is_not_synced_is_found() {
    let broken = |seed| {
        let mut plan = plan(seed, &[Fault::ForgottenVote]);
        plan.setup.votes_unsynced = true;
        plan
    };
    // Two leaders then write over what each of them has committed: openraft itself stops at that.
    let shows = |why: &str| is_of_a_history(why) || why.contains("the raft core panicked");
    expect_found("a vote that was not synced", broken, shows, |mut plan| {
        plan.setup.votes_unsynced = false;
        plan
    });
}

/// Seeds in which a node that lost what it had acknowledged below `high` restarts twice.
#[test]
fn a_lost_tail_is_not_forgotten_by_a_second_restart() {
    for seed in 0..20 {
        let mut plan = plan(seed, &[Fault::ForgottenTail]);
        plan.setup.durability = "low";
        if let Err(why) = plan.run() {
            panic!("seed {seed}: {}", why.lines().next().unwrap_or_default());
        }
    }
}
