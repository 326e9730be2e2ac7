//! The order of SRV records (RFC 2782).

use super::Srv;

/// Sorts by priority and, within one, draws by weight: a record of weight 3 comes first three times as often as one of
/// weight 1, and records of weight 0 have a small chance. `seed` is the randomness; the same seed gives the same order.
pub fn by_priority_and_weight(mut records: Vec<Srv>, seed: u64) -> Vec<Srv> {
    let mut dice = Dice(seed);
    records.sort_by_key(|record| record.priority);
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let end = records.partition_point(|record| record.priority == priority);
        let mut group: Vec<Srv> = records.drain(..end).collect();
        // "All those with weight 0 placed at the beginning of the list."
        group.sort_by_key(|record| record.weight != 0);
        while !group.is_empty() {
            let at = draw(&group, &mut dice);
            ordered.push(group.remove(at));
        }
    }
    ordered
}

/// "Choose a uniform random number between 0 and the sum, and select the RR whose running sum value is the first in the
/// selected order which is greater than or equal to it."
fn draw(group: &[Srv], dice: &mut Dice) -> usize {
    let sum: u64 = group.iter().map(|record| u64::from(record.weight)).sum();
    let drawn = dice.up_to(sum);
    let mut running = 0;
    let reached = group.iter().position(|record| {
        running += u64::from(record.weight);
        running >= drawn
    });
    reached.unwrap_or(0)
}

/// SplitMix64: good enough to spread load, and nothing here is a secret.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % (most + 1)
    }
}
