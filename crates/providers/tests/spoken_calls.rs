//! Spoken callers: this machine's voices say the caller's part through 8 kHz µ-law, this machine's
//! recogniser hears it, and the receptionist has to book the right table.

use std::{path::Path, sync::Arc, time::Duration};

use call_core::{
    brain::{CallContext, ToolOutcome, ToolRequest},
    pipeline::{Dialogue, DialogueEffect, DialogueInput},
};
use local_speech::{Models, Pool, PoolConfig, Voices, VoicesConfig, halfband::Up2};
use model::agent::{AgentConfig, BrainConfig};
use providers::{
    Fakes, Providers, Shared,
    brain::script::Script,
    stt::{HearKind, HearRequest, Stt},
    tts::{SpeakRequest, SpeechEvent, Tts},
};
use serde_json::json;

/// What a caller says, and what must be booked.
struct Caller {
    says: &'static [&'static str],
    starts: &'static str,
    party: u32,
}

/// The call is on Friday 2026-11-20 at 12:00.
const CALLERS: &[Caller] = &[
    Caller {
        says: &[
            "a table for four on friday at seven",
            "no wait make it eight",
            "yes please",
        ],
        starts: "2026-11-20T20:00",
        party: 4,
    },
    Caller {
        says: &[
            "Can I book a table for two people tomorrow at seven?",
            "How much is the tasting menu?",
            "Are you a robot?",
            "Actually, make it three people.",
            "Yes, that is correct.",
        ],
        starts: "2026-11-21T19:00",
        party: 3,
    },
    Caller {
        says: &[
            "What time do you close on Saturday?",
            "I want to book for Sunday.",
            "One o'clock.",
            "There are five of us.",
            "Could you repeat that?",
            "Yes.",
        ],
        starts: "2026-11-22T13:00",
        party: 5,
    },
];

struct Machine {
    tts: Arc<dyn Tts>,
    stt: Arc<dyn Stt>,
}

impl Machine {
    fn start() -> Option<Self> {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models"));
        let models = Models::open(folder).ok()?;
        let shared = Shared {
            egress: egress::Egress::new(egress::EgressConfig::default()).unwrap(),
            pool: Some(Pool::start(models, PoolConfig::default()).unwrap()),
            voices: Some(Voices::start(VoicesConfig::default()).unwrap()),
            fakes: Fakes::default(),
        };
        let providers = Providers::new(&shared, &[]).unwrap();
        Some(Self {
            tts: providers.tts("local").unwrap(),
            stt: providers.stt("local").unwrap(),
        })
    }

    async fn say_and_hear(&self, text: &str, voice: &str) -> String {
        let request = SpeakRequest {
            text: text.into(),
            voice: voice.into(),
            rate: 1.0,
        };
        let mut speech = self.tts.speak(request).unwrap();
        let mut pcm = vec![0; 1_600];
        while let Some(event) = speech.next().await {
            match event {
                SpeechEvent::Audio(more) => pcm.extend(more.iter().copied().map(through_ulaw)),
                SpeechEvent::Failed(error) => panic!("{error}"),
                SpeechEvent::Plan(_) | SpeechEvent::Trouble(_) | SpeechEvent::Done => {}
            }
        }
        pcm.extend([0; 1_600]);
        let mut wide = Vec::new();
        Up2::default().push(&pcm, &mut wide);
        let audio: Arc<[f32]> = wide.iter().map(|s| f32::from(*s) / 32_768.0).collect();
        let length_ms = audio.len() as u64 / 16;
        let heard = self.stt.hear(HearRequest {
            audio,
            kind: HearKind::Final,
            start_ms: 0,
            end_ms: length_ms,
            speech_ms: length_ms as u32,
        });
        heard.unwrap().text().await.unwrap().text
    }
}

/// G.711 µ-law there and back.
fn through_ulaw(sample: i16) -> i16 {
    let magnitude = (i32::from(sample).abs() + 132).min(32_767);
    let exponent = (0..8)
        .rev()
        .find(|e| magnitude & (0x80 << e) != 0)
        .unwrap_or(0);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let back = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    let back = i16::try_from(back).unwrap();
    if sample < 0 { -back } else { back }
}

fn receptionist() -> Script {
    let text = include_str!("../../../agents/receptionist.json");
    let config: AgentConfig = serde_json::from_str(text).unwrap();
    let BrainConfig::Script(script) = &config.brain else {
        panic!("the receptionist is a script");
    };
    let mut dialogue = Script::new(&config, script).unwrap();
    let context = CallContext {
        call_id: "cal_1".into(),
        caller_number: Some("+15550123".into()),
        called_number: "+15550100".into(),
        unix_ms: 1_795_194_000_000,
        utc_offset_s: -5 * 3_600,
        history: Vec::new(),
    };
    dialogue.handle(Duration::ZERO, DialogueInput::Begin(Box::new(context)));
    dialogue
}

/// Plays a caller; the booking that was asked for and the conversation.
async fn play(machine: &Machine, caller: &Caller, voice: &str) -> (Option<ToolRequest>, String) {
    let mut dialogue = receptionist();
    let (mut booked, mut log) = (None, String::new());
    for (turn, line) in caller.says.iter().enumerate() {
        let text = machine.say_and_hear(line, voice).await;
        log += &format!("caller {line:?} heard as {text:?}\n");
        dialogue.handle(
            Duration::ZERO,
            DialogueInput::UserSaid {
                turn: turn as u32 + 1,
                text,
                confidence: None,
            },
        );
        while let Some(effect) = dialogue.poll_effect() {
            match effect {
                DialogueEffect::Speak { text, .. } => log += &format!("agent  {text}\n"),
                DialogueEffect::RunTool(request) => booked = Some(request),
                _ => {}
            }
        }
    }
    if let Some(request) = booked.clone() {
        let outcome = json!({ "outcome": "booked", "id": "bkg_01J8ZQ4W5T9V6B3N2M1K0H7G5F", "code": "R-4471" });
        let result = DialogueInput::ToolResult(request.id, ToolOutcome::Ok(outcome));
        dialogue.handle(Duration::ZERO, result);
        let said = dialogue.poll_effect();
        assert!(
            matches!(&said, Some(DialogueEffect::Speak { text, .. }) if text.contains("R 4 4 7 1")),
            "{said:?}"
        );
    }
    (booked, log)
}

#[tokio::test]
async fn spoken_callers_get_the_table_they_asked_for() {
    let Some(machine) = Machine::start() else {
        println!(
            "SKIP spoken_callers_get_the_table_they_asked_for: the speech models are not installed"
        );
        return;
    };
    let all = ["kal", "rms"];
    for voice in all
        .iter()
        .filter(|voice| machine.tts.voices().iter().any(|name| name == *voice))
    {
        for caller in CALLERS {
            let (booked, log) = play(&machine, caller, voice).await;
            let wanted = json!({
                "starts_local": caller.starts, "party_size": caller.party, "phone": "+15550123",
            });
            let arguments = booked.map(|request| request.arguments);
            assert_eq!(arguments, Some(wanted), "voice {voice}\n{log}");
        }
    }
}
