//! Real human voices over real RTP into `listen`: every prompt of the Debian package with 4 to 25
//! words, none excluded. Corpus word error at most 11 %.

#[path = "rig/node.rs"]
mod rig;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use local_speech::wer::{self, Score};
use rig::{Site, root};

const SOUNDS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
const TRANSCRIPTS: &str = "/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz";
const PARALLEL: usize = 8;
const BAR: f64 = 0.11;

struct Prompt {
    sound: PathBuf,
    said: String,
}

/// The committed list with the package's own transcripts.
fn prompts() -> Option<Vec<Prompt>> {
    let table = Command::new("gzip")
        .args(["-dc", TRANSCRIPTS])
        .output()
        .ok()?;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let list = root().join("crates/local-speech/tests/corpus/prompts.tsv");
    let list = std::fs::read_to_string(list).unwrap();
    let names = list
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty());
    let prompts: Vec<Prompt> = names
        .filter_map(|name| {
            let line = table
                .lines()
                .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
            Some(Prompt {
                sound: Path::new(SOUNDS).join(format!("{name}.wav")),
                said: line?.trim().to_owned(),
            })
        })
        .collect();
    (prompts.len() > 200 && prompts.iter().all(|p| p.sound.is_file())).then_some(prompts)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_prompt_is_understood_through_a_call() {
    let name = "every_real_prompt_is_understood_through_a_call";
    if !root().join("models/silero-vad-16k.onnx").is_file() {
        println!("SKIP {name}: the local models are not here (scripts/models)");
        return;
    }
    let Some(prompts) = prompts() else {
        println!("SKIP {name}: asterisk-core-sounds-en-wav is not installed");
        return;
    };
    let site = Arc::new(Site::new("", None));
    let node = site.start().await;
    let prompts = Arc::new(prompts);
    let next = Arc::new(AtomicUsize::new(0));
    let callers = (0..PARALLEL).map(|_| {
        let (site, prompts, next) = (site.clone(), prompts.clone(), next.clone());
        tokio::task::spawn_blocking(move || caller(&site, &prompts, &next))
    });
    let mut ids = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        ids.extend(caller.await.unwrap());
    }
    assert_eq!(ids.len(), prompts.len());
    let office = site.office();
    let mut total = Score::default();
    for (prompt, sip_call_id) in ids {
        let call = office.ended(&sip_call_id).await;
        let path = format!("/v1/calls/{}/transcript", call["id"].as_str().unwrap());
        let transcript = office.get(&path).await;
        let segments = transcript["segments"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let heard: Vec<&str> = segments.iter().filter_map(|s| s["text"].as_str()).collect();
        let said = wer::without_directions(&prompts[prompt].said);
        let score = wer::score(&said, &heard.join(" "));
        if score.edits > 0 {
            println!(
                "{:>2}/{:<2} {said} | {}",
                score.edits,
                score.words,
                heard.join(" ")
            );
        }
        total += score;
    }
    println!(
        "word error {:.2} % over {} words",
        total.rate() * 100.0,
        total.words
    );
    assert!(total.rate() <= BAR, "{:.2} %", total.rate() * 100.0);
    node.stop().await;
}

/// Plays prompt after prompt, each in a call of its own.
fn caller(site: &Site, prompts: &[Prompt], next: &AtomicUsize) -> Vec<(usize, serde_json::Value)> {
    let mut done = Vec::new();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(prompt) = prompts.get(at) else {
            return done;
        };
        let step = format!("play:{}", prompt.sound.display());
        let steps = ["--step", "wait:0.3s", "--step", &step, "--seconds", "60"];
        let (summary, content) = site.phone("listen", &steps).finish(Duration::from_secs(90));
        assert!(content, "{summary:#}");
        done.push((at, summary["sip_call_id"].clone()));
    }
}
