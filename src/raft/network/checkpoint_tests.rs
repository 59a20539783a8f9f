//! Checkpoints between two transports.

use super::*;

/// A checkpoint at entry `index` of term 5 whose chunks are these, as long as they last.
fn checkpoint(index: u64, chunks: Vec<std::io::Result<Bytes>>) -> Checkpoint {
    let nodes = [1, 2].map(|id| (id, BasicNode::new("127.0.0.1:1")));
    let membership = Membership::new(vec![[1].into()], std::collections::BTreeMap::from(nodes));
    let position = |index| {
        LogId::new(
            LeaderId {
                term: 5,
                node_id: 1,
            },
            index,
        )
    };
    let last_membership = StoredMembership::new(Some(position(1)), membership.unwrap());
    Snapshot {
        meta: wire::Meta {
            last_log_id: Some(position(index)),
            last_membership,
        },
        snapshot: futures::stream::iter(chunks).boxed_local(),
    }
}

fn chunks(count: u8, bytes: usize) -> Vec<std::io::Result<Bytes>> {
    let chunk = |number| Ok(Bytes::from(vec![number; bytes]));
    (0..count).map(chunk).collect()
}

#[test]
fn a_checkpoint_is_taken_over_only_where_its_chunks_are_the_same() {
    run_test(async {
        let (one, two) = leader_and_member().await;
        let peer = two.peer();
        let vote = Vote::new_committed(5, 1);
        let install = |checkpoint| one.transport.install(&peer, vote, checkpoint);
        let mut broken = chunks(3, 1000);
        broken.push(Err(std::io::Error::other("the disk")));
        assert!(install(checkpoint(9, broken)).await.is_err());
        let kept = || two.transport.counters().checkpoint_bytes_received;
        until(|| kept() == 3000).await;

        // Other chunks under the same name: the beginning is forgotten, the next attempt is whole.
        let error = install(checkpoint(9, chunks(5, 999))).await.unwrap_err();
        assert!(error.to_string().contains("forgot"), "{error}");
        let answer = install(checkpoint(9, chunks(5, 999))).await.unwrap();
        assert_eq!(answer.vote, vote);
        let installed: Vec<Bytes> = chunks(5, 999).into_iter().flatten().collect();
        assert_eq!(two.applier.state(), installed);
        assert_eq!(kept(), 3000 + 5 * 999);

        // One that is there already is not sent again, and an empty one is one.
        install(checkpoint(9, chunks(5, 999))).await.unwrap();
        assert_eq!(kept(), 3000 + 5 * 999);
        install(checkpoint(12, Vec::new())).await.unwrap();
        assert!(two.applier.state().is_empty());
        // A leader of the past is told so before it sends anything.
        let old = Vote::new_committed(4, 1);
        let mut past = checkpoint(20, chunks(1, 1));
        past.meta.last_log_id = Some(LogId::new(
            LeaderId {
                term: 4,
                node_id: 1,
            },
            20,
        ));
        let answer = one.transport.install(&peer, old, past).await.unwrap();
        assert_eq!(answer.vote, vote);
        assert_eq!(two.group.failure(), None);
        stop([one, two]).await;
    });
}

#[test]
fn a_checkpoint_for_which_there_is_no_room_gives_back_what_it_took() {
    run_test(async {
        let (one, two) = leader_and_member().await;
        let peer = two.peer();
        let install = |chunks| {
            let vote = Vote::new_committed(5, 1);
            one.transport.install(&peer, vote, checkpoint(9, chunks))
        };
        let mut broken = chunks(3, 1000);
        broken.push(Err(std::io::Error::other("the disk")));
        assert!(install(broken).await.is_err());
        let kept = || two.transport.counters().checkpoint_bytes_received;
        until(|| kept() == 3000).await;

        two.transport.0.receiver.fill_disk();
        let error = install(chunks(5, 1000)).await.unwrap_err().to_string();
        assert!(error.contains("could not be kept"), "{error}");
        // The next attempt finds nothing of it, and room.
        install(chunks(5, 1000)).await.unwrap();
        assert_eq!(kept(), 3000 + 5 * 1000);
        assert_eq!(two.group.failure(), None);
        stop([one, two]).await;
    });
}

#[test]
fn a_checkpoint_keeps_to_its_pace() {
    run_test(async {
        let (one, two) = leader_and_member().await;
        let peer = two.peer();
        one.transport.set_checkpoint_bytes_per_second(1_000_000);
        let begun = Instant::now();
        let vote = Vote::new_committed(5, 1);
        let sent = checkpoint(9, chunks(30, 10_000));
        one.transport.install(&peer, vote, sent).await.unwrap();
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(280), "{took:?}");
        assert!(took < Duration::from_millis(900), "{took:?}");
        stop([one, two]).await;
    });
}
