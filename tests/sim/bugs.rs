//! Defects put in on purpose: the checkers have to find each of them.

use quorate::rt::sim::Bug;

use crate::nemesis::Fault;
use crate::run::Plan;

/// Seeds among which one has to find a defect.
const SEEDS: u64 = 40;

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
        ..Plan::of_three(seed, &faults)
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
        ..Plan::of_three(seed, &faults)
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
        ..Plan::of_three(seed, &[Fault::Kill])
    };
    let shows = |why: &str| why.contains("does not serve");
    expect_found("no reads after an election", broken, shows, |plan| Plan {
        bug: None,
        ..plan
    });
}

#[test]
fn a_round_confirmed_by_an_old_answer_is_found() {
    for reads_by_lease in [false, true] {
        let broken = |seed| {
            let mut plan = Plan::of_three(seed, &[Fault::LateAnswer]);
            plan.setup.reads_by_lease = reads_by_lease;
            plan.bug = Some(Bug::BelieveOldAnswers);
            plan
        };
        expect_found(
            "a round confirmed by an old answer",
            broken,
            is_of_a_history,
            |plan| Plan { bug: None, ..plan },
        );
    }
}

#[test]
fn a_vote_that_is_not_synced_is_found() {
    let broken = |seed| {
        let mut plan = Plan::of_three(seed, &[Fault::ForgottenVote]);
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
