use super::*;

/// A list and the plain vector that it must equal.
fn check(list: &List, model: &[Vec<u8>]) {
    assert_eq!(list.len(), model.len());
    assert!(list.iter().eq(model.iter().map(Vec::as_slice)));
    assert!(list.iter().rev().eq(model.iter().rev().map(Vec::as_slice)));
    assert!(
        list.chunks
            .iter()
            .all(|chunk| (1..=CHUNK_MAX).contains(&chunk.len()))
    );
    let heap: usize = model.iter().filter(|e| e.len() > 22).map(Vec::len).sum();
    assert_eq!(list.heap_bytes, heap);
    let packed: usize = model.iter().map(|e| listpack_bytes(e.len())).sum();
    assert_eq!(list.listpack_bytes, packed);
}

#[test]
fn equals_a_vector() {
    let mut draw = 1u64;
    let mut below = |bound: usize| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (draw >> 33) as usize % bound
    };
    let mut list = List::default();
    let mut model: Vec<Vec<u8>> = Vec::new();
    for step in 0..20_000 {
        let element = vec![b'a' + below(5) as u8; below(40)];
        let index = below(model.len() + 1);
        match below(if step % 4000 < 2500 { 9 } else { 12 }) {
            0..3 => {
                list.push_back(&element);
                model.push(element);
            }
            3..6 => {
                list.push_front(&element);
                model.insert(0, element);
            }
            6..8 => {
                list.insert(index, &element);
                model.insert(index, element);
            }
            8 if index < model.len() => {
                assert!(list.set(index, &element));
                model[index] = element;
            }
            9 => assert_eq!(list.pop_back().map(|t| raw(&t).to_vec()), model.pop()),
            10 => {
                let front = (!model.is_empty()).then(|| model.remove(0));
                assert_eq!(list.pop_front().map(|t| raw(&t).to_vec()), front);
            }
            11 if below(4) == 0 => {
                let (limit, backward) = (1 + below(20), below(2) == 0);
                let mut at: Vec<usize> =
                    (0..model.len()).filter(|i| model[*i] == element).collect();
                if backward {
                    at.reverse();
                }
                at.truncate(limit);
                at.sort_unstable();
                for i in at.iter().rev() {
                    model.remove(*i);
                }
                assert_eq!(list.remove_equal(&element, limit, backward), at.len());
            }
            _ => {}
        }
        if step % 50 == 0 {
            check(&list, &model);
            let (a, b) = (below(model.len() + 1), below(model.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            let range = list.range(a, b);
            assert!(range.eq(model[a..b].iter().map(Vec::as_slice)));
            assert_eq!(list.get(a), model.get(a).map(Vec::as_slice));
        }
        if step % 5000 == 4999 {
            let (start, end) = (model.len() / 5, model.len() * 3 / 5);
            list.trim(start, end);
            model = model[start..end].to_vec();
        }
    }
    check(&list, &model);
    let mut image = Vec::new();
    list.write_image(&mut image);
    let back = List::read_image(&mut ImageReader::new(&image)).unwrap();
    check(&back, &model);
}

#[test]
fn names_follow_the_bytes() {
    let mut list = List::default();
    for _ in 0..200 {
        list.push_back(&[b'x'; 40]);
    }
    assert_eq!(list.encoding(), "quicklist");
    list.trim(0, 50);
    assert_eq!(list.encoding(), "listpack");
}
