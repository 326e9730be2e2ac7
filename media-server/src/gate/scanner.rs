//! Scanners by what they call themselves. They may lie; those that do not are the most.

/// What is in the User-Agent of the common ones, in lower case.
const NAMES: [&[u8]; 9] = [
    b"friendly-scanner",
    b"sipvicious",
    b"sip-scan",
    b"sipcli",
    b"sundayddr",
    b"pplsip",
    b"vaxsipuseragent",
    b"sipsak",
    b"iwar",
];
/// Headers lie at the beginning; beyond this nobody looks.
const LOOKED_AT: usize = 2_048;

/// Whether a request says that a scanner sent it.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let head = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let agents = head.split(|byte| *byte == b'\n').filter_map(agent);
    agents.map(<[u8]>::to_ascii_lowercase).any(|agent| {
        let named = |name: &&[u8]| agent.windows(name.len()).any(|part| part == *name);
        NAMES.iter().any(named)
    })
}

/// The value of a User-Agent line.
fn agent(line: &[u8]) -> Option<&[u8]> {
    const FIELD: &[u8] = b"user-agent";
    let (name, value) = line.split_at_checked(FIELD.len())?;
    name.eq_ignore_ascii_case(FIELD).then_some(value)
}
