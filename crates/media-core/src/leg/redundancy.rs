//! How much of our sound is sent twice: what the far side's reports say of loss, smoothed, so that one lucky or unlucky
//! interval of five seconds neither begins nor ends it.

/// Loss, in thousandths, from which redundancy is worth what it takes from a clean line.
const BEGINS_AT: u32 = 20;
/// Below this it ends.
const ENDS_BELOW: u32 = 10;
/// Of a report that is worse than what is known so much counts at once, in quarters; of one that is better, less.
const WORSE_QUARTERS: u32 = 3;
const BETTER_QUARTERS: u32 = 1;

/// Follows the loss that one far side reports (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Redundancy {
    /// Smoothed; none before the first report.
    permille: Option<u32>,
    on: bool,
}

impl Redundancy {
    /// A report's fraction lost, in 1/256; the loss in percent that an encoder should expect, 0 while none is worth a word.
    pub(super) fn on_report(&mut self, fraction_lost: u8) -> u8 {
        let told = u32::from(fraction_lost) * 1_000 / 256;
        let smooth = self.permille.map_or(told, |known| blend(known, told));
        self.permille = Some(smooth);
        self.on = smooth >= if self.on { ENDS_BELOW } else { BEGINS_AT };
        match self.on {
            true => smooth.max(BEGINS_AT).div_ceil(10).min(100) as u8,
            false => 0,
        }
    }
}

const fn blend(known: u32, told: u32) -> u32 {
    let quarters = if told > known {
        WORSE_QUARTERS
    } else {
        BETTER_QUARTERS
    };
    (known * (4 - quarters) + told * quarters) / 4
}

#[cfg(test)]
mod tests {
    use super::Redundancy;

    fn told(percents: &[u32]) -> Vec<u8> {
        let mut redundancy = Redundancy::default();
        let fractions = percents.iter().map(|percent| (percent * 256 / 100) as u8);
        fractions
            .map(|fraction| redundancy.on_report(fraction))
            .collect()
    }

    #[test]
    fn it_begins_at_once_and_ends_slowly() {
        let after = told(&[0, 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(after[0], 0);
        assert!((14..=20).contains(&after[1]), "{after:?}");
        assert!((18..=20).contains(&after[2]), "{after:?}");
        assert!(after.windows(2).skip(2).all(|w| w[1] <= w[0]), "{after:?}");
        assert_eq!(after.last(), Some(&0), "{after:?}");
        assert!(after[5] >= 7, "{after:?}");
    }

    /// Around either edge it is switched once, not with each report.
    #[test]
    fn it_does_not_flap_around_an_edge() {
        for wobble in [[1, 3], [2, 0], [4, 1]] {
            let percents: Vec<u32> = wobble.into_iter().cycle().take(200).collect();
            let after = told(&percents);
            let switched = after.windows(2).filter(|w| (w[0] == 0) != (w[1] == 0));
            assert!(switched.count() <= 2, "{wobble:?}: {after:?}");
        }
    }

    #[test]
    fn no_report_takes_it_past_all() {
        assert_eq!(told(&[99, 99, 99]).last(), Some(&99));
        assert_eq!(Redundancy::default().on_report(255), 100);
    }
}
