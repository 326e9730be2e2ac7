//! The little RTCP a telephone leg needs (RFC 3550 §6.4–6.6): sender and receiver reports with one block, the name, and BYE.
//!
//! Read and written here without allocating; `rtc-rtcp`, which the tests hold it against, keeps no sign of a negative loss.

mod xr;

pub use xr::{GAP_PACKETS, VoipMetrics, build_voip_metrics, voip_metrics};

use crate::Error;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const NAME: u8 = 202;
const BYE: u8 = 203;
/// RFC 3550 §6.5.1: the item, its length, eight digits, the end, filled up to whole words.
const NAME_WORDS: u8 = 4;
const CNAME: u8 = 1;
const NAME_LEN: u8 = 8;

/// RFC 3550 §6.4.1: what one side says about the stream it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The stream spoken about.
    pub ssrc: u32,
    /// Loss since the last report in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; 24 bits on the wire, may be negative.
    pub cumulative_lost: i32,
    /// Highest sequence number with its cycle count.
    pub highest_seq: u32,
    /// Interarrival jitter in RTP clock ticks.
    pub jitter_ticks: u32,
    /// Middle 32 bits of the last sender report's NTP time.
    pub last_sr: u32,
    /// Since then, in 1/65,536 s.
    pub delay_since_last_sr: u32,
}

/// RFC 3550 §6.4.1: what a sender says about itself. The NTP time is handed in; nothing here knows the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// NTP time, 32.32 fixed point.
    pub ntp: u64,
    /// The same moment on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// One packet of a compound, as far as we read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// SR.
    Sender {
        /// Its sender.
        ssrc: u32,
        /// About its own stream.
        info: SenderInfo,
        /// About ours, when it hears us.
        block: Option<ReportBlock>,
    },
    /// RR.
    Receiver {
        /// Its sender.
        ssrc: u32,
        /// About our stream.
        block: Option<ReportBlock>,
    },
    /// The source leaves.
    Bye {
        /// Who leaves; none when the list is empty.
        ssrc: Option<u32>,
    },
}

/// Reads a compound packet; kinds we do not use (SDES, APP, feedback) are stepped over.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Result<Report, Error>> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (head, body, next) = match split(rest) {
                Ok(parts) => parts,
                Err(e) => {
                    rest = &[];
                    return Some(Err(e));
                }
            };
            rest = next;
            if let Some(report) = read(head, body) {
                return Some(report);
            }
        }
        None
    })
}

type Parts<'a> = ([u8; 4], &'a [u8], &'a [u8]);

fn split(bytes: &[u8]) -> Result<Parts<'_>, Error> {
    let (head, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or(Error::Rtcp("shorter than a header"))?;
    if head[0] >> 6 != 2 {
        return Err(Error::Rtcp("version is not 2"));
    }
    let len = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
    if len > rest.len() {
        return Err(Error::Rtcp("length runs past the end"));
    }
    let (body, next) = rest.split_at(len);
    Ok((*head, body, next))
}

fn read(head: [u8; 4], body: &[u8]) -> Option<Result<Report, Error>> {
    let count = head[0] & 0x1f;
    let mut words = Words(body);
    let report = match head[1] {
        SENDER_REPORT => words.sender(count),
        RECEIVER_REPORT => words.receiver(count),
        BYE => Some(Report::Bye {
            ssrc: if count == 0 { None } else { words.next() },
        }),
        _ => return None,
    };
    Some(report.ok_or(Error::Rtcp("report cut short")))
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }

    fn sender(&mut self, count: u8) -> Option<Report> {
        let ssrc = self.next()?;
        let ntp = u64::from(self.next()?) << 32 | u64::from(self.next()?);
        let info = SenderInfo {
            ntp,
            rtp_timestamp: self.next()?,
            packets: self.next()?,
            octets: self.next()?,
        };
        Some(Report::Sender {
            ssrc,
            info,
            block: self.blocks(count)?,
        })
    }

    fn receiver(&mut self, count: u8) -> Option<Report> {
        let ssrc = self.next()?;
        Some(Report::Receiver {
            ssrc,
            block: self.blocks(count)?,
        })
    }

    /// A telephone peer hears one stream: the first block speaks of ours.
    fn blocks(&mut self, count: u8) -> Option<Option<ReportBlock>> {
        if count == 0 {
            Some(None)
        } else {
            self.block().map(Some)
        }
    }

    fn block(&mut self) -> Option<ReportBlock> {
        let ssrc = self.next()?;
        let loss = self.next()?;
        Some(ReportBlock {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            cumulative_lost: ((loss << 8) as i32) >> 8,
            highest_seq: self.next()?,
            jitter_ticks: self.next()?,
            last_sr: self.next()?,
            delay_since_last_sr: self.next()?,
        })
    }
}

/// Writes one report into `out`, returns its bytes. A compound is several of these one after another.
pub fn build(report: &Report, out: &mut [u8]) -> Result<usize, Error> {
    let mut words = [0_u32; 13];
    let (kind, count, len) = fill(report, &mut words);
    let need = 4 + len * 4;
    let have = out.len();
    let target = out.get_mut(..need).ok_or(Error::Room { need, have })?;
    let (head, body) = target.split_at_mut(4);
    head.copy_from_slice(&[0x80 | count, kind, (len >> 8) as u8, len as u8]);
    for (to, word) in body.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    Ok(need)
}

fn fill(report: &Report, words: &mut [u32; 13]) -> (u8, u8, usize) {
    match report {
        Report::Sender { ssrc, info, block } => {
            let (high, low) = ((info.ntp >> 32) as u32, info.ntp as u32);
            words[..6].copy_from_slice(&[
                *ssrc,
                high,
                low,
                info.rtp_timestamp,
                info.packets,
                info.octets,
            ]);
            let blocks = fill_block(block.as_ref(), &mut words[6..12]);
            (SENDER_REPORT, blocks, 6 + usize::from(blocks) * 6)
        }
        Report::Receiver { ssrc, block } => {
            words[0] = *ssrc;
            let blocks = fill_block(block.as_ref(), &mut words[1..7]);
            (RECEIVER_REPORT, blocks, 1 + usize::from(blocks) * 6)
        }
        Report::Bye { ssrc } => {
            words[0] = ssrc.unwrap_or(0);
            (BYE, u8::from(ssrc.is_some()), usize::from(ssrc.is_some()))
        }
    }
}

fn fill_block(block: Option<&ReportBlock>, words: &mut [u32]) -> u8 {
    let Some(b) = block else { return 0 };
    let loss = u32::from(b.fraction_lost) << 24 | (b.cumulative_lost as u32 & 0x00ff_ffff);
    words.copy_from_slice(&[
        b.ssrc,
        loss,
        b.highest_seq,
        b.jitter_ticks,
        b.last_sr,
        b.delay_since_last_sr,
    ]);
    1
}

/// Writes the source description that goes with every compound (RFC 3550 §6.1). The name says nothing of host or user
/// (RFC 7022 §4.2): it is the source's own random number.
pub fn build_name(ssrc: u32, out: &mut [u8]) -> Result<usize, Error> {
    let need = 4 + usize::from(NAME_WORDS) * 4;
    let have = out.len();
    let target = out.get_mut(..need).ok_or(Error::Room { need, have })?;
    target.fill(0);
    let digits = (0..8).rev().map(|n| (ssrc >> (4 * n)) & 15);
    let digits = digits.map(|digit| b"0123456789abcdef"[digit as usize]);
    let head = [0x81, NAME, 0, NAME_WORDS];
    let item = ssrc.to_be_bytes().into_iter().chain([CNAME, NAME_LEN]);
    for (to, from) in target
        .iter_mut()
        .zip(head.into_iter().chain(item).chain(digits))
    {
        *to = from;
    }
    Ok(need)
}
