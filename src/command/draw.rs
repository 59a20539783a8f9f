//! Random members: which indexes of a collection are drawn.

use std::collections::HashSet;

use super::context::Rng;
use crate::limits::DRAWS_MAX;
use crate::resp::Error;

/// Indexes below `len`: `count` different ones, or all when there are no more, in no order; or
/// `-count` of them each drawn anew when `count` is negative.
///
/// # Errors
/// `ERR value is out of range` when more than [`DRAWS_MAX`] are to be drawn anew.
pub fn indexes(len: usize, count: i64, rng: &mut Rng) -> Result<Vec<usize>, Error> {
    if count >= 0 {
        return Ok(different(len, count as usize, rng));
    }
    let wanted = count.unsigned_abs();
    if wanted > DRAWS_MAX {
        return Err(Error::fixed("ERR value is out of range"));
    }
    Ok((0..wanted).map(|_| rng.below(len)).collect())
}

fn different(len: usize, wanted: usize, rng: &mut Rng) -> Vec<usize> {
    if wanted >= len {
        return (0..len).collect();
    }
    if wanted > len / 4 {
        // The front of a shuffle.
        let mut all: Vec<usize> = (0..len).collect();
        for place in 0..wanted {
            all.swap(place, place + rng.below(len - place));
        }
        all.truncate(wanted);
        return all;
    }
    let mut drawn = HashSet::with_capacity(wanted);
    let mut order = Vec::with_capacity(wanted);
    while order.len() < wanted {
        let index = rng.below(len);
        if drawn.insert(index) {
            order.push(index);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_distinct_unless_asked() {
        let mut rng = Rng::new(1);
        for len in [1, 2, 10, 100] {
            for count in [0, 1, 3, 9, 50, 99, 100, 200] {
                let drawn = indexes(len, count, &mut rng).unwrap();
                assert_eq!(drawn.len(), (count as usize).min(len));
                assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), drawn.len());
                assert!(drawn.iter().all(|index| *index < len));
                let repeated = indexes(len, -count, &mut rng).unwrap();
                assert_eq!(repeated.len(), count as usize);
            }
        }
        assert!(indexes(3, i64::MIN, &mut rng).is_err());
    }
}
