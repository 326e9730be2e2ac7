//! The driver over real sockets: streams, retries, refusals, fallbacks.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use call_core::brain::{ChatMessage, MindEvent, ThinkId, ThinkRequest};
use egress::{Egress, EgressConfig};
use providers::{Entry, Fakes, Providers, Shared};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server that gives its answers in turn, each in pieces, and keeps the requests.
struct Server {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn serve(answers: Vec<Vec<&'static str>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = requests.clone();
    let mut answers = VecDeque::from(answers);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let request = read_request(&mut tcp).await;
            kept.lock().unwrap().push(request);
            for piece in answers.pop_front().unwrap_or_default() {
                tcp.write_all(piece.as_bytes()).await.unwrap();
                tcp.flush().await.unwrap();
            }
        }
    });
    Server { addr, requests }
}

async fn read_request(tcp: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let n = tcp.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if n == 0 || body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello \"}}]}\n\n";
const THERE: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"there.\"},\"finish_reason\":\"stop\"}]}\n\n";
const BUSY: &str =
    "HTTP/1.1 429 Too Many\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const DENIED: &str = "HTTP/1.1 401 No\r\nContent-Length: 31\r\nConnection: close\r\n\r\n{\"error\":{\"message\":\"bad key\"}}";

fn entry(name: &str, addr: SocketAddr, fallbacks: &[&str]) -> Entry {
    Entry {
        name: name.into(),
        kind: "openai".into(),
        url: format!("http://{addr}/v1/"),
        key: Some("k".into()),
        model: Some("tiny".into()),
        voice: None,
        fallbacks: fallbacks.iter().map(|name| (*name).to_owned()).collect(),
    }
}

async fn answer(entries: Vec<Entry>) -> Vec<MindEvent> {
    let shared = Shared {
        egress: Egress::new(EgressConfig::default()).unwrap(),
        pool: None,
        voices: None,
        fakes: Fakes::default(),
    };
    let providers = Providers::new(&shared, &entries).unwrap();
    let mut thinking = providers.llm("a").unwrap().think(ThinkRequest {
        id: ThinkId(1),
        provider: "a".into(),
        model: "default".into(),
        messages: vec![ChatMessage::User("hi".into())],
        tools: Vec::new(),
        temperature: 0.0,
    });
    let mut told = Vec::new();
    while let Some(event) = thinking.next().await {
        told.push(event);
    }
    told
}

fn hello_there() -> Vec<MindEvent> {
    vec![
        MindEvent::Delta("Hello ".into()),
        MindEvent::Delta("there.".into()),
        MindEvent::Done,
    ]
}

#[tokio::test]
async fn an_answer_is_streamed_with_key_and_model() {
    let server = serve(vec![vec![HEAD, HELLO, THERE, "data: [DONE]\n\n"]]).await;
    assert_eq!(
        answer(vec![entry("a", server.addr, &[])]).await,
        hello_there()
    );
    let request = server.requests.lock().unwrap()[0].clone();
    assert!(
        request.starts_with("POST /v1/chat/completions HTTP/1.1"),
        "{request}"
    );
    assert!(request.contains("authorization: Bearer k"), "{request}");
    assert!(request.contains("\"model\":\"tiny\""), "{request}");
    assert!(request.contains("\"stream\":true"), "{request}");
}

#[tokio::test]
async fn a_busy_server_and_a_broken_start_are_asked_again() {
    let server = serve(vec![vec![BUSY], vec![HEAD], vec![HEAD, HELLO, THERE]]).await;
    assert_eq!(
        answer(vec![entry("a", server.addr, &[])]).await,
        hello_there()
    );
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_its_first_word_is_not_repeated() {
    let server = serve(vec![vec![HEAD, HELLO], vec![HEAD, HELLO, THERE]]).await;
    let told = answer(vec![entry("a", server.addr, &[])]).await;
    let [MindEvent::Delta(text), MindEvent::Failed { why }] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(text, "Hello ");
    assert!(why.contains("broke off"), "{why}");
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_goes_to_the_fallback_at_once_and_without_one_fails() {
    let refusing = serve(vec![vec![DENIED], vec![DENIED]]).await;
    let other = serve(vec![vec![HEAD, HELLO, THERE]]).await;
    let entries = vec![
        entry("a", refusing.addr, &["b"]),
        entry("b", other.addr, &[]),
    ];
    assert_eq!(answer(entries).await, hello_there());
    assert_eq!(refusing.requests.lock().unwrap().len(), 1);
    let told = answer(vec![entry("a", refusing.addr, &[])]).await;
    let why = "a: status 401: bad key".to_owned();
    assert_eq!(told, [MindEvent::Failed { why }]);
}

#[tokio::test]
async fn three_attempts_at_a_server_that_stays_busy_are_enough() {
    let server = serve(vec![vec![BUSY]; 5]).await;
    let told = answer(vec![entry("a", server.addr, &[])]).await;
    assert!(matches!(&told[..], [MindEvent::Failed { .. }]), "{told:?}");
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}
