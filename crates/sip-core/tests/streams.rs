//! Cutting TCP streams into messages.

#[path = "support/letters.rs"]
mod letters;

use bytes::Bytes;
use letters::{invite, request};
use sip_core::framing::{Frame, FramingError, StreamFramer};
use sip_core::message::{Framing, MAX_MESSAGE_BYTES, parse};

fn frames(framer: &mut StreamFramer) -> Vec<Frame> {
    std::iter::from_fn(|| framer.next_frame()).collect()
}

#[test]
fn a_stream_torn_anywhere_gives_the_same_messages() {
    let one = invite(&[]);
    let two = request("OPTIONS", "sip:x", &[], "");
    let stream = [b"\r\n\r\n".as_ref(), &one, b"\r\n", &two, b"\r\n\r\n"].concat();
    let expected = vec![
        Frame::Ping,
        Frame::Message(one),
        Frame::Pong,
        Frame::Message(two),
        Frame::Ping,
    ];
    let mut whole = StreamFramer::new();
    whole.push(&stream);
    assert_eq!(frames(&mut whole), expected);
    for size in [1, 2, 3, 7, 64, 1000] {
        let mut framer = StreamFramer::new();
        let mut messages = Vec::new();
        for part in stream.chunks(size) {
            framer.push(part);
            let found = frames(&mut framer).into_iter();
            messages.extend(found.filter(|frame| matches!(frame, Frame::Message(_))));
        }
        let wanted = expected
            .iter()
            .filter(|frame| matches!(frame, Frame::Message(_)));
        assert!(messages.iter().eq(wanted), "parts of {size}");
        assert_eq!(framer.is_broken(), None);
    }
}

#[test]
fn a_message_without_a_length_is_handed_out_once_and_ends_the_stream() {
    let text = String::from_utf8(request("OPTIONS", "sip:x", &[], "").to_vec()).expect("text");
    for bad in [
        "",
        "Content-Length: -1\r\n",
        "l: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 70000\r\n",
    ] {
        let text = text.replace("Content-Length: 0\r\n", bad);
        let mut framer = StreamFramer::new();
        framer.push(text.as_bytes());
        let found = frames(&mut framer);
        assert_eq!(found, [Frame::Message(Bytes::from(text))], "{bad:?}");
        assert_eq!(framer.is_broken(), Some(FramingError::NoLength));
        framer.push(b"OPTIONS");
        assert!(frames(&mut framer).is_empty());
        let Frame::Message(head) = &found[0] else {
            panic!("no message");
        };
        let error = parse(head, Framing::Stream).expect_err("refused");
        assert_eq!(error.field, "Content-Length");
        assert!(error.answer.is_some());
    }
}

#[test]
fn a_folded_line_that_looks_like_a_length_is_none() {
    let text = String::from_utf8(request("OPTIONS", "sip:x", &[], "").to_vec()).expect("text");
    let text = text.replace("Max-Forwards", "Subject: x\r\n l: 50\r\nMax-Forwards");
    let mut framer = StreamFramer::new();
    framer.push(text.as_bytes());
    assert_eq!(frames(&mut framer), [Frame::Message(Bytes::from(text))]);
}

#[test]
fn an_endless_head_and_other_protocols_end_the_stream() {
    let mut framer = StreamFramer::new();
    framer.push(b"OPTIONS sip:x SIP/2.0\r\n");
    while framer.is_broken().is_none() {
        assert!(framer.pending_bytes() <= MAX_MESSAGE_BYTES + 64);
        framer.push(b"X: 0123456789012345678901234567890123456789\r\n");
        framer.next_frame();
    }
    assert_eq!(framer.is_broken(), Some(FramingError::HeadTooLong));
    for other in [
        b"GET / HTTP/1.1\r\n".as_ref(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"\xff\xff",
    ] {
        let mut framer = StreamFramer::new();
        framer.push(other);
        assert_eq!(framer.next_frame(), None);
        assert_eq!(framer.is_broken(), Some(FramingError::NotSip), "{other:?}");
    }
}
