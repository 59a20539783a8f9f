use super::*;

fn item(score: f64, member: &str) -> Item {
    Item {
        score,
        member: Text::key(member.as_bytes()),
    }
}

/// Checks counts, widths and fences; answers the depth.
fn check(node: &Node, root: bool) -> usize {
    assert!(node.width() <= NODE_MAX && (root || node.width() >= NODE_MIN));
    match node {
        Node::Leaf(items) => {
            assert!(items.is_sorted_by(|a, b| a.is_before(b.score, raw(&b.member))));
            1
        }
        Node::Inner(inner) => {
            assert_eq!(inner.fences.len() + 1, inner.children.len());
            let mut depths = inner.children.iter().map(|child| {
                assert_eq!(child.count, child.node.count());
                check(&child.node, false)
            });
            let depth = depths.next().unwrap();
            assert!(depths.all(|other| other == depth));
            depth + 1
        }
    }
}

#[test]
fn equals_a_sorted_vector() {
    let mut draw = 3u64;
    let mut below = |bound: usize| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (draw >> 33) as usize % bound
    };
    let mut order = Order::new();
    let mut model: Vec<(i64, String)> = Vec::new();
    for step in 0..40_000 {
        let growing = step % 20_000 < 12_000;
        if below(10) < if growing { 8 } else { 2 } {
            let (score, member) = (below(50) as i64, format!("m{}", below(20_000)));
            let found = model.binary_search(&(score, member.clone()));
            if let Err(at) = found {
                order.insert(item(score as f64, &member));
                model.insert(at, (score, member));
            }
        } else if !model.is_empty() {
            let rank = below(model.len());
            let (score, member) = model.remove(rank);
            let at = order.partition_point(|i| i.is_before(score as f64, member.as_bytes()));
            assert_eq!(at, rank);
            if rank % 2 == 0 {
                let gone = order.remove_at(at).unwrap();
                assert_eq!(raw(&gone.member), member.as_bytes());
            } else {
                assert!(!order.remove(score as f64 + 0.5, member.as_bytes()));
                assert!(order.remove(score as f64, member.as_bytes()));
            }
        }
        if step % 500 == 0 {
            check(&order.root, true);
            let (a, b) = (below(model.len() + 1), below(model.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            let same = |found: &Item, (score, member): &(i64, String)| {
                found.score == *score as f64 && raw(&found.member) == member.as_bytes()
            };
            let forth: Vec<_> = order.range(a, b).collect();
            assert_eq!(forth.len(), b - a);
            assert!(forth.iter().zip(&model[a..b]).all(|(f, m)| same(f, m)));
            let back: Vec<_> = order.range(a, b).rev().collect();
            assert!(
                back.iter()
                    .zip(model[a..b].iter().rev())
                    .all(|(f, m)| same(f, m))
            );
        }
    }
    while let Some(first) = order.remove_at(0) {
        assert_eq!(raw(&first.member), model.remove(0).1.as_bytes());
    }
    assert!(model.is_empty());
}
