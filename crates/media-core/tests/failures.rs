//! Rows of `docs/failures.md` about media that no other story tells.

use media_core::rtcp::{self, Report};

/// A packet of a compound: type, count, and words after its header.
fn packet(kind: u8, count: u8, words: &[u32]) -> Vec<u8> {
    let length = u16::try_from(words.len()).expect("short");
    let mut bytes = vec![0x80 | count, kind];
    bytes.extend(length.to_be_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

fn blocks(bytes: &[u8]) -> Vec<Option<u32>> {
    let read = rtcp::parse(bytes).map(|report| match report.expect("sound") {
        Report::Sender { block, .. } | Report::Receiver { block, .. } => {
            block.map(|block| block.ssrc)
        }
        Report::Bye { ssrc } => ssrc,
    });
    read.collect()
}

/// Row 2: what follows the blocks, where a profile may put its own words, is no block.
#[test]
fn a_report_has_as_many_blocks_as_it_says() {
    const RECEIVER: u8 = 201;
    const SENDER: u8 = 200;
    const BYE: u8 = 203;
    let block = [77, 0x0100_0001, 5, 6, 7, 8];
    let like_a_block = [0xdead_beef, 1, 2, 3, 4, 5];
    let info = [1, 2, 3, 4, 5];
    let words = |parts: &[&[u32]]| [&[9][..], &parts.concat()].concat();

    let none = packet(RECEIVER, 0, &words(&[&like_a_block]));
    assert_eq!(blocks(&none), [None]);
    let one = packet(RECEIVER, 1, &words(&[&block, &like_a_block]));
    assert_eq!(blocks(&one), [Some(77)]);
    let none = packet(SENDER, 0, &words(&[&info, &like_a_block]));
    assert_eq!(blocks(&none), [None]);
    let two = packet(SENDER, 2, &words(&[&info, &block, &like_a_block]));
    assert_eq!(blocks(&two), [Some(77)]);
    // Each packet ends where its length says, whatever it holds.
    let compound = [none, one, packet(BYE, 1, &[4])].concat();
    assert_eq!(blocks(&compound), [None, Some(77), Some(4)]);
    // More blocks than words.
    let short = packet(RECEIVER, 1, &words(&[&block[..5]]));
    assert!(rtcp::parse(&short).all(|report| report.is_err()));
}
