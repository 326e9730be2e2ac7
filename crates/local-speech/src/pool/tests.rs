//! The queues' behaviour, with a scripted recogniser in the models' place.

use std::sync::mpsc;

use super::*;
use crate::ears::UtteranceId;

/// Waits at a gate for each job; audio of length 13 panics.
struct Scripted {
    gate: Mutex<mpsc::Receiver<()>>,
    started: Mutex<mpsc::Sender<u32>>,
}

impl Recognise for Scripted {
    fn recognise(&self, _: &Lane, request: &DecodeRequest, cancel: &Cancel) -> Outcome {
        self.started
            .lock()
            .unwrap()
            .send(request.pass)
            .expect("the test listens");
        self.gate.lock().unwrap().recv().expect("the test opens");
        assert!(request.audio.len() != 13, "thirteen samples");
        if cancel.is_cancelled() {
            return Err(SpeechError::Cancelled);
        }
        Ok(Transcript {
            text: format!("pass {}", request.pass),
            ..Transcript::default()
        })
    }
}

struct Bench {
    pool: Pool,
    gate: mpsc::Sender<()>,
    started: mpsc::Receiver<u32>,
}

fn bench(finals: usize, partials: usize) -> Bench {
    let (gate, gate_in) = mpsc::channel();
    let (started_out, started) = mpsc::channel();
    let scripted = Scripted {
        gate: Mutex::new(gate_in),
        started: Mutex::new(started_out),
    };
    let config = PoolConfig {
        threads: 1,
        finals,
        partials,
    };
    let pool = Pool::start_with(Arc::new(scripted), config).expect("a thread");
    Bench {
        pool,
        gate,
        started,
    }
}

fn request(kind: DecodeKind, pass: u32, samples: usize) -> DecodeRequest {
    DecodeRequest {
        utterance: UtteranceId(1),
        pass,
        kind,
        audio: vec![0.0; samples].into(),
        start_ms: 0,
        end_ms: 0,
        speech_ms: 500,
    }
}

impl Bench {
    fn queue(&self, kind: DecodeKind, pass: u32, cancel: &Cancel) -> oneshot::Receiver<Outcome> {
        self.pool
            .transcribe(request(kind, pass, 1), cancel)
            .expect("room")
    }

    /// Occupies the only thread with a job that waits at the gate.
    fn occupy(&self) -> oneshot::Receiver<Outcome> {
        let first = self.queue(DecodeKind::Final, 0, &Cancel::new());
        assert_eq!(self.started.recv(), Ok(0));
        first
    }
}

fn text(outcome: Result<Outcome, oneshot::error::RecvError>) -> String {
    outcome.expect("an outcome").expect("a transcript").text
}

#[test]
fn a_full_queue_of_finals_is_an_error_and_counted() {
    let bench = bench(1, 1);
    let _first = bench.occupy();
    let _waits = bench.queue(DecodeKind::Final, 1, &Cancel::new());
    let refused = bench
        .pool
        .transcribe(request(DecodeKind::Final, 2, 1), &Cancel::new());
    assert!(matches!(
        refused,
        Err(SpeechError::PoolFull {
            lane: "finals",
            limit: 1
        })
    ));
    assert_eq!(bench.pool.counters().finals_refused, 1);
    assert_eq!(bench.pool.counters().queued_finals, 1);
}

#[test]
fn the_oldest_partial_gives_way() {
    let bench = bench(4, 1);
    let first = bench.occupy();
    let old = bench.queue(DecodeKind::Partial, 1, &Cancel::new());
    let young = bench.queue(DecodeKind::Partial, 2, &Cancel::new());
    assert!(matches!(
        old.blocking_recv(),
        Ok(Err(SpeechError::PoolFull {
            lane: "partials",
            ..
        }))
    ));
    bench.gate.send(()).unwrap();
    bench.gate.send(()).unwrap();
    assert_eq!(text(first.blocking_recv()), "pass 0");
    assert_eq!(text(young.blocking_recv()), "pass 2");
    assert_eq!(bench.pool.counters().partials_dropped, 1);
}

#[test]
fn a_final_overtakes_partials_and_replaces_those_of_its_call() {
    let bench = bench(4, 4);
    let _first = bench.occupy();
    let (mine, other) = (Cancel::new(), Cancel::new());
    let useless = bench.queue(DecodeKind::Partial, 1, &mine);
    let others = bench.queue(DecodeKind::Partial, 2, &other);
    let last = bench.queue(DecodeKind::Final, 3, &mine);
    assert!(useless.blocking_recv().expect("an outcome").is_err());
    for _ in 0..3 {
        bench.gate.send(()).unwrap();
    }
    assert_eq!(bench.started.recv(), Ok(3));
    assert_eq!(bench.started.recv(), Ok(2));
    assert_eq!(text(last.blocking_recv()), "pass 3");
    assert_eq!(text(others.blocking_recv()), "pass 2");
}

#[test]
fn a_panic_fails_its_own_job_only() {
    let bench = bench(4, 4);
    let doomed = bench
        .pool
        .transcribe(request(DecodeKind::Final, 1, 13), &Cancel::new())
        .expect("room");
    let fine = bench.queue(DecodeKind::Final, 2, &Cancel::new());
    bench.gate.send(()).unwrap();
    bench.gate.send(()).unwrap();
    let outcome = doomed.blocking_recv().expect("an outcome");
    assert!(
        matches!(&outcome, Err(SpeechError::Panicked { reason }) if reason.contains("thirteen")),
        "{outcome:?}"
    );
    assert_eq!(text(fine.blocking_recv()), "pass 2");
    assert_eq!(bench.pool.counters().panicked, 1);
}

#[test]
fn a_callback_that_panics_leaves_the_thread_alive() {
    let bench = bench(4, 4);
    bench
        .pool
        .transcribe_with(request(DecodeKind::Final, 1, 1), &Cancel::new(), |_| {
            panic!("a careless callback")
        })
        .expect("room");
    let fine = bench.queue(DecodeKind::Final, 2, &Cancel::new());
    bench.gate.send(()).unwrap();
    bench.gate.send(()).unwrap();
    assert_eq!(text(fine.blocking_recv()), "pass 2");
}

#[test]
fn a_call_that_ended_costs_nothing_more() {
    let bench = bench(4, 4);
    let _first = bench.occupy();
    let gone = Cancel::new();
    let unwanted = bench.queue(DecodeKind::Final, 1, &gone);
    gone.cancel();
    bench.gate.send(()).unwrap();
    assert!(matches!(
        unwanted.blocking_recv(),
        Ok(Err(SpeechError::Cancelled))
    ));
    assert!(bench.started.try_recv().is_err(), "it was never started");
    assert_eq!(bench.pool.counters().cancelled, 1);
}

#[test]
fn what_waits_when_the_pool_ends_is_told() {
    let bench = bench(4, 4);
    let _first = bench.occupy();
    let left = bench.queue(DecodeKind::Final, 1, &Cancel::new());
    drop(bench.pool);
    assert!(matches!(
        left.blocking_recv(),
        Ok(Err(SpeechError::Cancelled))
    ));
    bench.gate.send(()).unwrap();
}
