//! A flood of INVITEs from loopback addresses that no trunk names: what the gate before the parser is
//! measured with. Nothing but loopback is ever sent to.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

/// Sources told apart: each has a socket.
const MAX_SOURCES: u32 = 10_000;
/// Packets a second.
const MAX_PPS: u32 = 200_000;

/// Flood a server of ours with INVITEs from many loopback addresses.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The server, on loopback.
    #[arg(long)]
    pub to: SocketAddr,
    /// Packets a second.
    #[arg(long, default_value_t = 20_000)]
    pub pps: u32,
    /// Addresses they come from, 127.66.0.1 and on.
    #[arg(long, default_value_t = 1)]
    pub sources: u32,
    /// How long.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
}

/// Floods and says how many packets were sent.
///
/// # Errors
/// A target that is not loopback; sockets that cannot be had.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (sent, late) = send(args)?;
    println!("{{\"sent\":{sent},\"late_ms\":{late}}}");
    Ok(ExitCode::SUCCESS)
}

/// Sends at absolute deadlines; packets sent, and milliseconds behind at the end.
///
/// # Errors
/// As [`run`].
pub fn send(args: &Args) -> anyhow::Result<(u64, u128)> {
    ensure!(args.to.ip().is_loopback(), "{} is not loopback", args.to);
    ensure!(
        (1..=MAX_SOURCES).contains(&args.sources) && (1..=MAX_PPS).contains(&args.pps),
        "1 to {MAX_SOURCES} sources, 1 to {MAX_PPS} packets a second"
    );
    let sockets: Vec<UdpSocket> = (0..args.sources).map(open).collect::<anyhow::Result<_>>()?;
    let begin = Instant::now();
    let total = u64::from(args.pps) * args.seconds;
    let mut sent = 0;
    while sent < total {
        let due = begin.elapsed().as_micros() as u64 * u64::from(args.pps) / 1_000_000;
        while sent < due.min(total) {
            let nth = usize::try_from(sent).unwrap_or(0) % sockets.len();
            if let Some(socket) = sockets.get(nth) {
                // What the kernel does not take is lost, as on any wire.
                let _ = socket.send_to(invite(sent, args.to).as_bytes(), args.to);
            }
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let wanted = Duration::from_secs(args.seconds);
    Ok((sent, begin.elapsed().saturating_sub(wanted).as_millis()))
}

fn open(nth: u32) -> anyhow::Result<UdpSocket> {
    let ip = Ipv4Addr::new(127, 66, (nth / 250) as u8, (nth % 250 + 1) as u8);
    let socket = UdpSocket::bind((IpAddr::V4(ip), 0));
    let socket = socket.with_context(|| format!("no socket at {ip} (ulimit -n)"))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn invite(n: u64, to: SocketAddr) -> String {
    format!(
        "INVITE sip:100@{to} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK{n:x};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:100@{to}>;tag={n}\r\nTo: <sip:100@{to}>\r\nCall-ID: {n}@flood.invalid\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:100@127.0.0.1:5060>\r\nUser-Agent: a phone\r\nContent-Length: 0\r\n\r\n"
    )
}
