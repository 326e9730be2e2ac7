use super::*;

const INVITE: &[u8] = b"INVITE sip:a@b SIP/2.0\r\nUser-Agent: a phone\r\n\r\n";

fn profile(auth: &str, guard: &str) -> settings::Profile {
    let text = format!(
        "listen = [\"udp://127.0.0.1:5060\"]\ncontext = \"public\"\nauth = \"{auth}\"\n{guard}\n\
         [[trunk]]\nname = \"carrier\"\nsources = [\"192.0.2.0/24\"]\n"
    );
    let mut profile: settings::Profile = toml::from_str(&text).unwrap();
    profile.name = "external".to_owned();
    profile
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn passed(gate: &Gate, source: IpAddr, packets: u64, step_ms: u64) -> usize {
    let judged = (0..packets).map(|n| gate.judge(at(n * step_ms), source, INVITE));
    judged.filter(|verdict| *verdict == Verdict::Pass).count()
}

#[test]
fn a_trunk_is_never_held_up() {
    let gate = Gate::new(profile(
        "acl",
        "guard = { pps = 1, burst = 1, ban_after = 2 }",
    ));
    assert_eq!(passed(&gate, ip("192.0.2.7"), 10_000, 0), 10_000);
    gate.offend(at(0), ip("192.0.2.7"), Why::Acl);
    gate.offend(at(0), ip("192.0.2.7"), Why::Acl);
    assert_eq!(gate.bans(at(0)), []);
}

#[test]
fn a_stranger_has_its_rate_then_is_banned_and_free_again() {
    let guard = "guard = { pps = 10, burst = 20, ban_after = 50, ban = \"60s\" }";
    let gate = Gate::new(profile("acl", guard));
    let stranger = ip("198.51.100.1");
    assert_eq!(passed(&gate, stranger, 1_000, 0), 20, "the burst");
    let dropped = gate.dropped();
    assert_eq!((dropped.rate, dropped.banned), (50, 930));
    assert_eq!(gate.bans(at(0))[0].seconds_left, 60);
    let judge = |ms, source| gate.judge(at(ms), source, INVITE);
    assert_eq!(judge(59_999, stranger), Verdict::Drop(Why::Banned));
    assert_eq!(judge(60_000, stranger), Verdict::Pass);
    assert_eq!(judge(0, ip("198.51.100.2")), Verdict::Pass, "its neighbour");
    gate.offend(at(0), ip("198.51.100.2"), Why::Acl);
    assert!(!gate.lift(ip("198.51.100.2")), "one offence bans nobody");
}

#[test]
fn many_strangers_share_what_strangers_have() {
    let gate = Gate::new(profile("acl", "guard = { total_pps = 100 }"));
    let sources = (0..20_000_u32).map(|n| IpAddr::from([10, 0, (n % 5_000 / 256) as u8, n as u8]));
    let judged = sources.map(|source| gate.judge(at(0), source, INVITE));
    let passed = judged.filter(|verdict| *verdict == Verdict::Pass).count();
    assert_eq!(passed, 100);
    // Who talks with us already has a turn of its own.
    gate.acquaint(at(0), ip("198.51.100.9"));
    assert_eq!(gate.judge(at(0), ip("198.51.100.9"), INVITE), Verdict::Pass);
}

#[test]
fn the_table_is_bounded_and_forgets() {
    let gate = Gate::new(profile("acl", "guard = { total_pps = 0 }"));
    for n in 0..100_000_u32 {
        gate.judge(at(0), IpAddr::from((0x0b00_0000 + n).to_be_bytes()), INVITE);
    }
    assert!(gate.lock().sources.len() <= 8_192);
    gate.judge(at(120_000), ip("198.51.100.1"), INVITE);
    assert_eq!(gate.lock().sources.len(), 1);
}

#[test]
fn silence_and_scanners_are_chosen() {
    let scan = b"OPTIONS sip:100@b SIP/2.0\r\nuser-agent: Friendly-Scanner\r\n\r\n";
    let stranger = ip("198.51.100.1");
    let gate = Gate::new(profile("acl", ""));
    assert_eq!(gate.judge(at(0), stranger, scan), Verdict::Pass);
    let gate = Gate::new(profile("acl", "guard = { scanners = \"drop\" }"));
    assert_eq!(gate.judge(at(0), stranger, INVITE), Verdict::Pass);
    assert_eq!(
        gate.judge(at(0), stranger, scan),
        Verdict::Drop(Why::Scanner)
    );
    assert_eq!(
        gate.judge(at(0), stranger, INVITE),
        Verdict::Drop(Why::Banned)
    );
    assert!(!gate.welcomes(at(0), stranger) && gate.welcomes(at(0), ip("192.0.2.1")));
    assert!(gate.lift(stranger));
    let gate = Gate::new(profile("acl", "guard = { strangers = \"drop\" }"));
    assert_eq!(gate.judge(at(0), stranger, INVITE), Verdict::Drop(Why::Acl));
    gate.rule(profile("acl", ""));
    assert_eq!(
        gate.judge(at(0), stranger, INVITE),
        Verdict::Pass,
        "a reload"
    );
}

#[test]
fn one_line_for_a_source_and_minute() {
    let mut sources = Sources::default();
    let source = ip("198.51.100.1");
    let mut lines = Vec::new();
    for ms in (0..180_000).step_by(10) {
        lines.extend(sources.note(at(ms), source, Why::Rate));
    }
    let packets: Vec<u64> = lines.iter().map(|notice| notice.packets).collect();
    assert_eq!(packets, [1, 6_000, 6_000]);
}
