//! Corpus word error of the whole listening path on the real prompts of the Debian package
//! `asterisk-core-sounds-en-wav`: 8 kHz µ-law → 16 kHz → ears → recogniser.
//!
//! `cargo run -p local-speech --example wer -- [--alone] [--always] [--partials] [--errors]
//! [--limit N] [--gain-db X] [--noise-db SNR] [--end-ms N] [--merge-ms N] [--settle-ms N]
//! [--pre-roll-ms N] [--onset P] [--offset P] [--models DIR]`

#[path = "../tests/corpus/prompts.rs"]
mod corpus;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use corpus::{Hearing, Prompt};
use local_speech::{EarsConfig, Models, Pool, PoolConfig, wer};

struct Options {
    alone: bool,
    always: bool,
    partials: bool,
    errors: bool,
    limit: usize,
    gain_db: f32,
    noise_db: Option<f32>,
    models: PathBuf,
    ears: EarsConfig,
}

fn options() -> Result<Options> {
    let mut options = Options {
        alone: false,
        always: false,
        partials: false,
        errors: false,
        limit: usize::MAX,
        gain_db: 0.0,
        noise_db: None,
        models: corpus::models_folder(),
        ears: EarsConfig {
            partial_ms: 0,
            ..EarsConfig::default()
        },
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
        match arg.as_str() {
            "--alone" => options.alone = true,
            "--always" => options.always = true,
            "--partials" => options.ears.partial_ms = EarsConfig::default().partial_ms,
            "--errors" => options.errors = true,
            "--limit" => options.limit = value()?.parse()?,
            "--gain-db" => options.gain_db = value()?.parse()?,
            "--noise-db" => options.noise_db = Some(value()?.parse()?),
            "--models" => options.models = value()?.into(),
            "--end-ms" => options.ears.end_ms = value()?.parse()?,
            "--merge-ms" => options.ears.merge_ms = value()?.parse()?,
            "--pre-roll-ms" => options.ears.pre_roll_ms = value()?.parse()?,
            "--onset" => options.ears.onset = value()?.parse()?,
            "--offset" => options.ears.offset = value()?.parse()?,
            "--settle-ms" => options.ears.settle_ms = value()?.parse()?,
            other => bail!("unknown argument {other}"),
        }
    }
    options.partials = options.ears.partial_ms > 0;
    Ok(options)
}

fn main() -> Result<()> {
    let options = options()?;
    let prompts = corpus::prompts()?;
    let models = Models::open(&options.models)?;
    models.load()?;
    let pool = Pool::start(
        models.clone(),
        PoolConfig {
            threads: 1,
            ..PoolConfig::default()
        },
    )?;
    let mut total = wer::Score::default();
    let (mut audio, mut ears_time) = (Duration::ZERO, Duration::ZERO);
    for prompt in prompts.iter().take(options.limit) {
        let sound = prompt.telephone_sound(options.gain_db, options.noise_db)?;
        audio += Duration::from_secs_f64(sound.len() as f64 / 16_000.0);
        let heard = if options.alone {
            corpus::recognise_whole(&pool, &sound)?
        } else {
            let started = Instant::now();
            let hearing = Hearing::of(&models, options.ears, &sound, options.always)?;
            ears_time += started.elapsed();
            hearing.text(&pool)?
        };
        let score = wer::score(&prompt.transcript, &heard);
        total += score;
        if options.errors && score.edits > 0 {
            report(prompt, score, &heard);
        }
    }
    let counters = pool.counters();
    let per_second = |t: Duration| t.as_secs_f64() / audio.as_secs_f64();
    println!(
        "prompts {}  words {}  edits {}  word error {:.2} %",
        prompts.len().min(options.limit),
        total.words,
        total.edits,
        100.0 * total.rate()
    );
    println!(
        "audio {:.0} s  ears {:.4} s/s  recogniser {:.4} s/s  ({} finals, {} partials){}",
        audio.as_secs_f64(),
        per_second(ears_time),
        per_second(Duration::from_micros(counters.busy_us)),
        counters.finals_done,
        counters.partials_done,
        if options.partials {
            ""
        } else {
            "  without partials"
        },
    );
    Ok(())
}

fn report(prompt: &Prompt, score: wer::Score, heard: &str) {
    println!(
        "{:2}/{:2} {}\n   said  {}\n   heard {}",
        score.edits,
        score.words,
        prompt.name,
        wer::normalise(&prompt.transcript).join(" "),
        wer::normalise(heard).join(" "),
    );
}
