//! The stub agent: a separate process that gets each call's sound over AudioSocket and returns it.
//!
//! A message is a type byte, a big-endian length of two bytes and a payload: `0x01` the call's
//! UUID, `0x10` sound, `0x00` hang-up. Sound goes back as it came; the rest is not answered.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

const KIND_HANGUP: u8 = 0x00;
const KIND_AUDIO: u8 = 0x10;
const HEAD: usize = 3;
/// The longest message.
const MAX_MESSAGE: usize = HEAD + 65_535;
/// Calls at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 8_192;

/// Be the separate agent process that measurements talk to.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Where to listen: a loopback address.
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "ADDRESS")]
    pub listen: SocketAddr,
}

/// Serves until it is told to stop.
///
/// # Errors
/// A port that is taken, or an address that is not loopback.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.listen.ip().is_loopback() {
        bail!(
            "--listen {}: only loopback, there is no authentication",
            args.listen
        );
    }
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
        tokio::select! {
            served = serve(listener) => served,
            told = tokio::signal::ctrl_c() => told.map_err(Into::into),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Returns what each connection says, until the task is dropped.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let seat = Arc::clone(&room).acquire_owned().await?;
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A connection that breaks is a call that ended.
            let _ = reflect(stream).await;
            drop(seat);
        });
    }
}

async fn reflect(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Vec::with_capacity(4_096);
    let mut outbox = Vec::with_capacity(4_096);
    loop {
        if stream.read_buf(&mut inbox).await? == 0 {
            return Ok(());
        }
        outbox.clear();
        let goes_on = take(&mut inbox, &mut outbox);
        stream.write_all(&outbox).await?;
        if !goes_on {
            return Ok(());
        }
    }
}

/// Moves whole messages out of the inbox, sound into the outbox; false after a hang-up.
fn take(inbox: &mut Vec<u8>, outbox: &mut Vec<u8>) -> bool {
    let mut at = 0;
    let mut goes_on = true;
    while let Some([kind, high, low]) = inbox.get(at..at + HEAD) {
        let end = at + HEAD + usize::from(u16::from_be_bytes([*high, *low]));
        let Some(message) = inbox.get(at..end) else {
            break;
        };
        match *kind {
            KIND_AUDIO => outbox.extend_from_slice(message),
            KIND_HANGUP => goes_on = false,
            _ => {}
        }
        at = end;
    }
    inbox.drain(..at);
    debug_assert!(
        inbox.len() < MAX_MESSAGE,
        "an unfinished message is shorter than the longest"
    );
    goes_on
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_returns_whole_however_it_is_cut_and_the_rest_does_not() {
        let sound = [&[KIND_AUDIO, 1, 64][..], &[7; 320]].concat();
        let said = [&[1, 0, 16][..], &[9; 16], &sound, &sound].concat();
        for cut in [1, 2, 18, 19, 100, 400] {
            let (mut inbox, mut back) = (Vec::new(), Vec::new());
            for part in said.chunks(cut) {
                inbox.extend_from_slice(part);
                assert!(take(&mut inbox, &mut back));
            }
            assert!(inbox.is_empty());
            assert_eq!(back, [&sound[..], &sound].concat(), "cut by {cut}");
        }
    }

    #[test]
    fn a_hang_up_ends_it() {
        let (mut inbox, mut back) = (vec![KIND_HANGUP, 0, 0], Vec::new());
        assert!(!take(&mut inbox, &mut back));
        assert!(back.is_empty());
    }
}
