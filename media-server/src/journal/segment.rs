//! One segment on disk: a header twice, then records, then preallocated zeros.
//!
//! ```text
//! header ×2   magic 8 │ number 8 │ boot 8 │ salt 32 │ key check 4 │ crc 4          = 64 bytes each
//! record      mark 4 │ length 4 │ crc 4 │ sealed bytes                             (big endian)
//! ```
//! The mark lets a reader find the next whole record behind a damaged one. The CRC (over mark,
//! length and sealed bytes) tells a torn record from a whole one without the key; the seal binds
//! a record to its segment and its place.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    JournalError,
    seal::{self, FileKey, NodeKey, SALT_BYTES, TAG_BYTES},
};

const MAGIC: &[u8; 8] = b"SDTJRNL1";
const HEADER_BYTES: usize = 64;
const LABEL: &str = "sidetone journal segment";
const MARK: [u8; 4] = [0xD1, 0xA7, 0x5E, 0x6C];
/// Bytes before the sealed part of a record.
const RECORD_HEAD: usize = 12;

/// Where the first record starts.
pub(crate) const FIRST_RECORD: u64 = 2 * HEADER_BYTES as u64;
/// The largest plain record; anything longer is refused when it is appended.
pub(crate) const MAX_RECORD: usize = 256 * 1024;

/// Bytes that a record of `plain` bytes takes on disk.
pub(crate) fn size_on_disk(plain: usize) -> u64 {
    (RECORD_HEAD + plain + TAG_BYTES) as u64
}

/// A place in the journal: everything before it is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The segment's number, rising for the life of the folder.
    pub segment: u64,
    /// Byte offset in that segment.
    pub offset: u64,
}

/// A segment that is open for reading, and by the writer for appending.
#[derive(Clone)]
pub(crate) struct Segment {
    pub number: u64,
    pub path: PathBuf,
    pub file: Arc<File>,
    key: Arc<FileKey>,
}

/// The file name of segment `number`.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:016x}.seg")
}

/// The number in a segment's file name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok()
}

impl Segment {
    /// Makes a new segment of `bytes` zeros and writes its header.
    pub(crate) fn create(
        dir: &Path,
        number: u64,
        boot: u64,
        bytes: u64,
        key: &NodeKey,
    ) -> Result<Self, JournalError> {
        let path = dir.join(file_name(number));
        let fail = |e| JournalError::disk("create", &path, e);
        let mut salt = [0; SALT_BYTES];
        seal::random(&mut salt)?;
        let file_key = key.file_key(LABEL, &salt);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        reserve(&file, bytes).map_err(fail)?;
        let header = header(number, boot, &salt, file_key.check());
        file.write_all_at(&[header, header].concat(), 0)
            .map_err(fail)?;
        file.sync_all().map_err(fail)?;
        Ok(Self {
            number,
            path: path.clone(),
            file: Arc::new(file),
            key: Arc::new(file_key),
        })
    }

    /// Opens an existing segment. None: it was prepared but its header never reached the disk.
    pub(crate) fn open(path: &Path, key: &NodeKey) -> Result<Option<Self>, JournalError> {
        let fail = |e| JournalError::disk("open", path, e);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(fail)?;
        let mut both = vec![0; 2 * HEADER_BYTES];
        let got = read_up_to(&file, &mut both, 0).map_err(fail)?;
        let whole = both[..got]
            .chunks_exact(HEADER_BYTES)
            .find_map(|copy| read_header(copy.first_chunk()?));
        let Some((number, salt, check)) = whole else {
            return Ok(None);
        };
        let file_key = key.file_key(LABEL, &salt);
        if file_key.check() != check {
            return Err(JournalError::OtherKey {
                path: path.to_path_buf(),
            });
        }
        Ok(Some(Self {
            number,
            path: path.to_path_buf(),
            file: Arc::new(file),
            key: Arc::new(file_key),
        }))
    }

    /// Appends the record of `plain` at `offset` to `out`, sealed; answers where it ends.
    pub(crate) fn seal_into(
        &self,
        offset: u64,
        mut plain: Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<u64, JournalError> {
        self.key
            .seal(offset, self.number, &mut plain)
            .map_err(|_| JournalError::Sealing)?;
        let length = u32::try_from(plain.len()).map_err(|_| JournalError::Sealing)?;
        out.extend_from_slice(&MARK);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&checksum(length, &plain).to_be_bytes());
        out.extend_from_slice(&plain);
        Ok(offset + (RECORD_HEAD + plain.len()) as u64)
    }

    /// The records between `from` and `to`, as far as they can be read.
    pub(crate) fn scan(&self, from: u64, to: u64) -> io::Result<Scan> {
        let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
        let got = read_up_to(&self.file, &mut bytes, from)?;
        bytes.truncate(got);
        Ok(self.scan_bytes(from, &bytes))
    }

    fn scan_bytes(&self, from: u64, bytes: &[u8]) -> Scan {
        let mut scan = Scan::starting_at(from);
        let mut at = 0;
        while let Some(start) = whole_record_from(bytes, at) {
            if start > at {
                scan.damaged.push((from + at as u64, from + start as u64));
            }
            let sealed = sealed_at(bytes, start).unwrap_or_default();
            let end = start + RECORD_HEAD + sealed.len();
            let (offset, after) = (from + start as u64, from + end as u64);
            let mut plain = sealed.to_vec();
            match self.key.open(offset, self.number, &mut plain) {
                Ok(()) => scan.records.push(Scanned {
                    from: offset,
                    after,
                    plain,
                }),
                Err(_) => scan.damaged.push((offset, after)),
            }
            at = end;
        }
        scan.end = from + at as u64;
        scan.torn_bytes = written_bytes(&bytes[at..]);
        scan
    }
}

/// What a scan found.
pub(crate) struct Scan {
    /// Whole records in order.
    pub records: Vec<Scanned>,
    /// Stretches that held something, but nothing readable, before a whole record.
    pub damaged: Vec<(u64, u64)>,
    /// Where the last whole record ends.
    pub end: u64,
    /// Bytes behind `end` that were written but are no whole record: the torn tail.
    pub torn_bytes: u64,
}

impl Scan {
    fn starting_at(from: u64) -> Self {
        Self {
            records: Vec::new(),
            damaged: Vec::new(),
            end: from,
            torn_bytes: 0,
        }
    }
}

/// One whole record.
pub(crate) struct Scanned {
    /// Where it starts.
    pub from: u64,
    /// Where the next record starts.
    pub after: u64,
    /// What was sealed.
    pub plain: Vec<u8>,
}

/// The start of the first whole record at or behind `at`.
fn whole_record_from(bytes: &[u8], at: usize) -> Option<usize> {
    if sealed_at(bytes, at).is_some() {
        return Some(at);
    }
    let rest = bytes.get(at..)?;
    rest.windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .map(|(ahead, _)| at + ahead)
        .find(|start| sealed_at(bytes, *start).is_some())
}

/// The sealed bytes of the record at `at`, when mark, length and CRC agree.
fn sealed_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let (mark, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length);
    let wanted = usize::try_from(length).ok()?;
    if *mark != MARK || !(TAG_BYTES..=MAX_RECORD + TAG_BYTES).contains(&wanted) {
        return None;
    }
    let sealed = rest.get(..wanted)?;
    (checksum(length, sealed) == u32::from_be_bytes(*crc)).then_some(sealed)
}

fn checksum(length: u32, sealed: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&MARK);
    hasher.update(&length.to_be_bytes());
    hasher.update(sealed);
    hasher.finalize()
}

/// How many of `bytes` lie before the preallocated zeros.
fn written_bytes(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last as u64 + 1)
}

fn header(number: u64, boot: u64, salt: &[u8; SALT_BYTES], check: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&number.to_be_bytes());
    header[16..24].copy_from_slice(&boot.to_be_bytes());
    header[24..56].copy_from_slice(salt);
    header[56..60].copy_from_slice(&check.to_be_bytes());
    let crc = crc32fast::hash(&header[..60]);
    header[60..].copy_from_slice(&crc.to_be_bytes());
    header
}

/// Number, salt and key check of a header that is whole.
fn read_header(copy: &[u8; HEADER_BYTES]) -> Option<(u64, [u8; SALT_BYTES], u32)> {
    let crc = u32::from_be_bytes(*copy.last_chunk()?);
    let rest = copy.strip_prefix(MAGIC.as_slice())?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (_boot, rest) = rest.split_first_chunk::<8>()?;
    let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>()?;
    let (check, _) = rest.split_first_chunk::<4>()?;
    (crc32fast::hash(&copy[..60]) == crc).then_some((
        u64::from_be_bytes(*number),
        *salt,
        u32::from_be_bytes(*check),
    ))
}

/// Writes zeros so that later appends cannot run out of disk.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    const CHUNK: usize = 256 * 1024;
    let zeros = vec![0; CHUNK];
    let mut offset = 0;
    while offset < bytes {
        let now = usize::try_from(bytes - offset).map_or(CHUNK, |left| left.min(CHUNK));
        file.write_all_at(&zeros[..now], offset)?;
        offset += now as u64;
    }
    Ok(())
}

fn read_up_to(file: &File, into: &mut [u8], from: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match file.read_at(&mut into[got..], from + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}
