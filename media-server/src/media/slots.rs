//! Which of the 20 slots a leg gets. A thread wakes for a slot's ticks and 5, 10 and 15 ms after them, so four slots 5 ms apart cost
//! no more wake-ups than one: few legs share such a group, and another is opened when it is full.

/// Slots of one millisecond in a tick.
pub(super) const SLOTS: usize = 20;
/// Slots 5 ms apart: what is read between the ticks of one is read at the tick of another.
const GROUPS: usize = 5;
/// Legs of a slot before another group is opened: the last of them is sent some 0.2 ms after the first.
const FILL: usize = 16;

/// How many milliseconds after the slot `soonest` the right one lies: in the fullest group that has room, else in the emptiest; there
/// in the emptiest slot; among equals in the one that is due first.
pub(super) fn ahead(legs: &[usize; SLOTS], soonest: usize) -> usize {
    let of = |ahead: usize| legs[(soonest + ahead) % SLOTS];
    let group = |ahead: usize| (ahead % GROUPS..SLOTS).step_by(GROUPS).map(of).sum();
    let rank = |ahead: &usize| {
        let together: usize = group(*ahead);
        let room = (FILL * SLOTS / GROUPS).checked_sub(together + 1);
        (room.is_none(), room.unwrap_or(together), of(*ahead))
    };
    (0..SLOTS).min_by_key(rank).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{FILL, GROUPS, SLOTS, ahead};

    fn filled(count: usize, soonest: impl Fn(usize) -> usize) -> [usize; SLOTS] {
        let mut legs = [0; SLOTS];
        for n in 0..count {
            let soonest = soonest(n) % SLOTS;
            legs[(soonest + ahead(&legs, soonest)) % SLOTS] += 1;
        }
        legs
    }

    fn groups(legs: &[usize; SLOTS]) -> Vec<usize> {
        let of = |group: usize| legs.iter().skip(group).step_by(GROUPS).sum();
        (0..GROUPS).map(of).filter(|legs| *legs > 0).collect()
    }

    #[test]
    fn the_first_leg_is_sent_at_once() {
        assert_eq!(
            (0..SLOTS).map(|at| ahead(&[0; SLOTS], at)).sum::<usize>(),
            0
        );
    }

    /// Whenever they come.
    #[test]
    fn few_legs_share_a_group_and_many_are_spread_evenly() {
        for stride in [0, 1, 3, 7, 11] {
            let few = filled(4 * FILL, |n| n * stride);
            assert_eq!(groups(&few), [4 * FILL], "{stride}");
            assert!(few.iter().all(|legs| *legs == 0 || *legs == FILL));
            assert_eq!(groups(&filled(4 * FILL + 1, |n| n * stride)).len(), 2);
            let many = filled(1_000, |n| n * stride);
            assert!(many.iter().all(|legs| *legs == 50), "{stride}: {many:?}");
        }
    }

    /// Legs that go leave their group to those that come.
    #[test]
    fn what_was_left_is_filled_before_another_group_is_opened() {
        let mut legs = filled(8 * FILL, |_| 0);
        legs[0] -= 3;
        let at = ahead(&legs, 7);
        assert_eq!((7 + at) % SLOTS, 0, "{legs:?}");
    }
}
