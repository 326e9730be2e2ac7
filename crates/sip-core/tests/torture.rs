//! RFC 4475: each message has its expected outcome at the parser and at the server, and the server lives on.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use sip_core::endpoint::{Endpoint, EndpointConfig, EndpointEffect, EndpointInput};
use sip_core::flow::{Flow, Transport};
use sip_core::message::{Framing, Message, parse};
use sip_core::tokens::TokenSource;

struct Row {
    name: String,
    parser: String,
    server: String,
}

fn rows() -> Vec<Row> {
    let text = include_str!("torture/expected.toml");
    let table: toml::Table = text.parse().expect("expected.toml");
    let field = |row: &toml::Value, name: &str| row[name].as_str().expect(name).to_owned();
    table["message"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            for name in ["section", "quote", "says"] {
                assert!(!field(row, name).is_empty(), "{name} of {row}");
            }
            Row {
                name: field(row, "name"),
                parser: field(row, "parser"),
                server: field(row, "server"),
            }
        })
        .collect()
}

/// The folder of the vectors, or a note on stdout.
fn vectors(test: &str) -> Option<PathBuf> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/rfc4475"
    );
    let path = Path::new(path);
    if !path.is_dir() {
        println!("SKIP {test}: the RFC 4475 vectors are not there");
        return None;
    }
    Some(path.to_owned())
}

fn read(folder: &Path, name: &str) -> Bytes {
    Bytes::from(fs::read(folder.join(format!("{name}.dat"))).expect(name))
}

fn flow() -> Flow {
    let addr = |text: &str| text.parse::<SocketAddr>().expect("address");
    Flow {
        transport: Transport::Udp,
        local: addr("192.0.2.200:5060"),
        remote: addr("192.0.2.1:5060"),
        connection: 0,
    }
}

#[test]
fn there_is_one_row_for_each_message() {
    let mut names: Vec<_> = rows().into_iter().map(|row| row.name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!((count, names.len()), (49, 49));
    let Some(folder) = vectors("there_is_one_row_for_each_message") else {
        return;
    };
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("folder")
        .map(|file| file.expect("file").path())
        .map(|path| {
            path.file_stem()
                .expect("stem")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    assert_eq!(files, names);
}

#[test]
fn the_parser_accepts_and_refuses_as_the_rfc_says() {
    let Some(folder) = vectors("the_parser_accepts_and_refuses_as_the_rfc_says") else {
        return;
    };
    let mut wrong = Vec::new();
    for row in rows() {
        let outcome = match parse(&read(&folder, &row.name), Framing::Datagram) {
            Ok(_) => "parsed".to_owned(),
            Err(error) => error.field,
        };
        if outcome != row.parser {
            wrong.push(format!("{}: {outcome}, not {}", row.name, row.parser));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_accepted_survives_printing_and_reading_again() {
    let Some(folder) = vectors("what_is_accepted_survives_printing_and_reading_again") else {
        return;
    };
    for row in rows().iter().filter(|row| row.parser == "parsed") {
        let first = parse(&read(&folder, &row.name), Framing::Datagram).expect(&row.name);
        let again = parse(&first.to_bytes(), Framing::Stream).expect(&row.name);
        assert_eq!(first.to_bytes(), again.to_bytes(), "{}", row.name);
        match (first, again) {
            (Message::Request(first), Message::Request(again)) => {
                assert_eq!(first.uri(), again.uri(), "{}", row.name);
                assert_eq!(first.body(), again.body(), "{}", row.name);
            }
            (Message::Response(first), Message::Response(again)) => {
                assert_eq!(first.reason(), again.reason(), "{}", row.name);
            }
            _ => panic!("{} changed its kind", row.name),
        }
    }
}

/// What the endpoint did with a datagram, in the words of expected.toml.
fn outcome(endpoint: &mut Endpoint, now: Duration, bytes: Bytes) -> String {
    endpoint.handle(
        now,
        EndpointInput::Received {
            flow: flow(),
            bytes,
        },
    );
    let mut words = Vec::new();
    while let Some(effect) = endpoint.poll_effect() {
        words.push(match effect {
            EndpointEffect::Transmit { bytes, .. } => {
                String::from_utf8_lossy(&bytes[8..11]).into_owned()
            }
            EndpointEffect::NewInvite(_) => "new-invite".to_owned(),
            EndpointEffect::Register(_) => "registers".to_owned(),
            EndpointEffect::Dropped { .. } => "dropped".to_owned(),
            other => format!("{other:?}"),
        });
    }
    words.join(" + ")
}

fn options(number: usize) -> Bytes {
    Bytes::from(format!(
        "OPTIONS sip:ping@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKping{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:probe@192.0.2.1>;tag=p{number}\r\nTo: <sip:ping@192.0.2.200>\r\n\
         Call-ID: ping{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ))
}

#[test]
fn the_server_answers_as_the_rfc_says_and_then_answers_options() {
    let Some(folder) = vectors("the_server_answers_as_the_rfc_says_and_then_answers_options")
    else {
        return;
    };
    let tokens = TokenSource::new([9; 32]);
    let mut endpoint = Endpoint::new(EndpointConfig::default(), tokens);
    let mut wrong = Vec::new();
    for (number, row) in rows().iter().enumerate() {
        let now = Duration::from_millis(number as u64);
        let outcome_now = outcome(&mut endpoint, now, read(&folder, &row.name));
        if outcome_now != row.server {
            wrong.push(format!("{}: {outcome_now}, not {}", row.name, row.server));
        }
        assert_eq!(outcome(&mut endpoint, now, options(number)), "200");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn faults_name_the_field_the_line_and_the_byte() {
    let Some(folder) = vectors("faults_name_the_field_the_line_and_the_byte") else {
        return;
    };
    let error = parse(&read(&folder, "ncl"), Framing::Datagram).expect_err("ncl");
    let text = error.to_string();
    assert_eq!(
        text,
        "Content-Length, line 10 (byte 310): Content-Length does not fit: not a number"
    );
}
