// The part of RTCPeerConnection that JsSIP uses, with plain RTP behind it: PCMU from a socket of its own, a tone of 600 Hz
// out, and what comes in kept frame by frame.
const dgram = require("dgram");

const HOST = "127.0.0.1";
const FRAME = 160;
const TONE_HZ = 600;

const decoded = Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 0xff;
  const size = (((bits & 15) << 3) + 132) << ((bits >> 4) & 7);
  return bits & 128 ? 132 - size : size - 132;
});

function encode(sample) {
  let best = 0;
  for (let code = 0; code < 256; code += 1) {
    if (Math.abs(decoded[code] - sample) < Math.abs(decoded[best] - sample)) best = code;
  }
  return best;
}

const wave = (n) => Math.round(8000 * Math.sin((2 * Math.PI * TONE_HZ * n) / 8000));
// One frame is whole periods of the tone.
const tone = Buffer.from(Array.from({ length: FRAME }, (_, n) => encode(wave(n))));

/// Whether a frame is this tone and little else (Goertzel).
function isTone(frame, hz) {
  let [power, re, im] = [0, 0, 0];
  frame.forEach((code, n) => {
    const sample = decoded[code];
    const angle = (2 * Math.PI * hz * n) / 8000;
    power += sample ** 2;
    re += sample * Math.cos(angle);
    im += sample * Math.sin(angle);
  });
  const share = ((re ** 2 + im ** 2) * 2) / (frame.length * Math.max(power, 1));
  return power / frame.length > 250000 && share > 0.8;
}

class Description {
  constructor(parts) {
    Object.assign(this, parts);
  }
}

class Connection extends EventTarget {
  constructor() {
    super();
    this.signalingState = "stable";
    this.iceGatheringState = "complete";
    this.iceConnectionState = "connected";
    this.frames = [];
    Connection.latest = this;
    this.socket = dgram.createSocket("udp4");
    this.socket.on("message", (packet) => {
      if (packet.length === 12 + FRAME && (packet[1] & 127) === 0) this.frames.push(packet.subarray(12));
    });
    this.ready = new Promise((done) => this.socket.bind(0, HOST, done));
  }

  async describe(type) {
    await this.ready;
    const lines = [
      "v=0",
      `o=- 1 1 IN IP4 ${HOST}`,
      "s=-",
      `c=IN IP4 ${HOST}`,
      "t=0 0",
      `m=audio ${this.socket.address().port} RTP/AVP 0`,
      "a=rtpmap:0 PCMU/8000",
      "a=sendrecv",
    ];
    return new Description({ type, sdp: lines.map((line) => `${line}\r\n`).join("") });
  }

  createOffer() {
    return this.describe("offer");
  }

  createAnswer() {
    return this.describe("answer");
  }

  async setLocalDescription(description) {
    this.localDescription = description;
  }

  async setRemoteDescription({ sdp }) {
    const host = /^c=IN IP4 (\S+)/m.exec(sdp)[1];
    const port = Number(/^m=audio (\d+)/m.exec(sdp)[1]);
    clearInterval(this.sending);
    let count = 0;
    const began = process.hrtime.bigint();
    this.sending = setInterval(() => {
      // As many as are due: a timer that is late must not slow the clock of the stream.
      const due = Number((process.hrtime.bigint() - began) / 20000000n);
      for (; count < due; count += 1) {
        const packet = Buffer.alloc(12 + FRAME);
        packet.writeUInt16BE(0x8000, 0);
        packet.writeUInt16BE(count & 0xffff, 2);
        packet.writeUInt32BE(count * FRAME, 4);
        packet.writeUInt32BE(0x5eed, 8);
        tone.copy(packet, 12);
        this.socket.send(packet, port, host);
      }
    }, 10);
  }

  /// How many frames of this tone came.
  heard(hz) {
    return this.frames.filter((frame) => isTone(frame, hz)).length;
  }

  getSenders() {
    return [];
  }

  addTrack() {}

  close() {
    clearInterval(this.sending);
    this.signalingState = "closed";
    this.socket.close();
  }
}

module.exports = { Connection, Description };
