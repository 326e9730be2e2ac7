// JsSIP as a far side: registers over its WebSocket, asks what we can do, and un-registers when a line comes in. What happens
// is told as one word a line. Arguments: folder of its packages, URL, address of record, password.
const [, , packages, url, aor, password] = process.argv;
const JsSIP = require(`${packages}/jssip`);
const Socket = require(`${packages}/jssip-node-websocket`);

const tell = (word) => console.log(word);
const phone = new JsSIP.UA({
  sockets: [new Socket(url)],
  uri: `sip:${aor}`,
  password,
  register_expires: 60,
});

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
process.stdin.once("data", () => phone.unregister({ all: false }));
phone.start();
