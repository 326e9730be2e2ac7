// JsSIP as a far side: registers over its WebSocket, asks what we can do, and then does what it is told, a line at a time:
// `call USER`, `hangup`, `heard HZ` (how many frames of that tone came in the last call), an empty line to un-register and go.
// What happens is told as a line too. Arguments: folder of its packages, URL, address of record, password.
const [, , packages, url, aor, password] = process.argv;
const media = require("./rtp.js");

globalThis.window = globalThis;
globalThis.RTCPeerConnection = media.Connection;
globalThis.RTCSessionDescription = media.Description;

const JsSIP = require(`${packages}/jssip`);
const Socket = require(`${packages}/jssip-node-websocket`);

const tell = (word) => console.log(word);
const phone = new JsSIP.UA({
  sockets: [new Socket(url)],
  uri: `sip:${aor}`,
  password,
  register_expires: 60,
});
const plain = { mediaConstraints: { audio: false, video: false } };
let session;

phone.on("connected", () => tell("connected"));
phone.on("registrationFailed", (e) => {
  tell(`refused ${e.response ? e.response.status_code : e.cause}`);
  process.exit(0);
});
phone.on("registered", () => {
  phone.removeAllListeners("registered");
  phone.sendOptions(`sip:echo@${aor.split("@")[1]}`, null, {
    eventHandlers: {
      succeeded: (e) => tell(`options ${e.response.status_code}`),
      failed: (e) => tell(`options failed ${e.cause}`),
    },
  });
  tell("registered");
});
phone.on("unregistered", () => {
  tell("unregistered");
  process.exit(0);
});
phone.on("newRTCSession", (e) => {
  session = e.session;
  session.on("confirmed", () => tell("talking"));
  session.on("ended", (end) => tell(`over by ${end.originator}`));
  session.on("failed", (end) => tell(`failed ${end.cause}`));
  if (e.originator === "remote") {
    tell(`called by ${e.request.from.uri.user}`);
    session.answer(plain);
  }
});

const obey = {
  "": () => phone.unregister({ all: false }),
  call: (user) => phone.call(`sip:${user}@${aor.split("@")[1]}`, plain),
  hangup: () => session.terminate(),
  heard: (hz) => tell(`heard ${media.Connection.latest.heard(Number(hz))}`),
};
require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [verb, word] = line.split(" ");
    obey[verb](word);
  });
phone.start();
