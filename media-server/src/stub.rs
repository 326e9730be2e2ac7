//! The stub agent: a separate process that gets the caller's sound and gives sound back, over
//! AudioSocket (a type byte, a big-endian length, a payload; `0x10` = PCM16 8 kHz little-endian,
//! `0x01` = the call's UUID first of all, `0x00` = hang up).

use std::net::SocketAddr;

use media_core::playout::Tag;
use model::CallId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

use crate::media::{EarReceiver, VoiceSender};

const KIND_HANGUP: u8 = 0x00;
const KIND_UUID: u8 = 0x01;
const KIND_AUDIO: u8 = 0x10;
/// AudioSocket's length field is 16 bits; a frame of ours is 320 bytes.
const MAX_PAYLOAD: usize = 65_535;

/// A connection to the stub agent, not yet joined to a leg.
pub struct Connection {
    stream: TcpStream,
}

/// Both directions, running. Dropping it closes the connection.
pub struct Stub {
    tasks: [JoinHandle<()>; 2],
}

impl Connection {
    /// Connects and names the call.
    ///
    /// # Errors
    /// What the system says: the caller gets 503.
    pub async fn open(address: SocketAddr, call: CallId) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let uuid = uuid_of(call);
        let mut hello = vec![KIND_UUID, 0, 16];
        hello.extend_from_slice(&uuid);
        stream.write_all(&hello).await?;
        Ok(Self { stream })
    }

    /// Joins the connection to a leg's rings. `gone` is called when the stub hangs up.
    pub fn join(
        self,
        frames: EarReceiver,
        voice: VoiceSender,
        tag: Tag,
        gone: impl FnOnce() + Send + 'static,
    ) -> Stub {
        let (read, write) = self.stream.into_split();
        let speak = tokio::spawn(async move {
            speak(read, voice, tag).await;
            gone();
        });
        Stub {
            tasks: [speak, tokio::spawn(listen(write, frames))],
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The call's id as 16 bytes.
fn uuid_of(call: CallId) -> [u8; 16] {
    let mut out = [0; 16];
    for (slot, byte) in out.iter_mut().zip(call.to_string().bytes().rev()) {
        *slot = byte;
    }
    out
}

async fn listen(mut write: OwnedWriteHalf, mut frames: EarReceiver) {
    let mut message = Vec::with_capacity(3 + 320);
    while let Some(frame) = frames.recv().await {
        message.clear();
        let samples = frame.frame.samples();
        let length = u16::try_from(samples.len() * 2).unwrap_or(0);
        message.push(KIND_AUDIO);
        message.extend_from_slice(&length.to_be_bytes());
        for sample in samples {
            message.extend_from_slice(&sample.to_le_bytes());
        }
        if write.write_all(&message).await.is_err() {
            return;
        }
    }
    let _ = write.write_all(&[KIND_HANGUP, 0, 0]).await;
}

async fn speak(mut read: OwnedReadHalf, mut voice: VoiceSender, tag: Tag) {
    let mut payload = vec![0; MAX_PAYLOAD];
    let mut pcm = Vec::with_capacity(MAX_PAYLOAD / 2);
    loop {
        let mut head = [0; 3];
        if read.read_exact(&mut head).await.is_err() {
            return;
        }
        let [kind, high, low] = head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(body) = payload.get_mut(..length) else {
            return;
        };
        if read.read_exact(body).await.is_err() || kind == KIND_HANGUP {
            return;
        }
        if kind == KIND_AUDIO {
            pcm.clear();
            let (pairs, _) = body.as_chunks::<2>();
            pcm.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
            // A ring that is full means the stub runs ahead of real time: late sound is no sound.
            voice.push(tag, &pcm);
        }
    }
}
