//! Whatever the pieces in which bytes come, the same goes on.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::super::flow::Event;
use super::Both;

/// A request and its answer.
#[derive(Clone, Debug)]
struct Message {
    asked: &'static str,
    request_body: Vec<u8>,
    answer_body: Vec<u8>,
    chunked: bool,
    interim: bool,
}

impl Message {
    fn request(&self) -> Vec<u8> {
        let Self { asked, request_body, chunked, .. } = self;
        let head = format!("{asked} /x HTTP/1.1\r\nHost: h\r\nX-Kv: secret\r\n");
        [head.into_bytes(), framed(request_body, *chunked, true)].concat()
    }

    fn answer(&self) -> Vec<u8> {
        let Self { asked, answer_body, chunked, interim, .. } = self;
        let interim = if *interim { "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" } else { "" };
        let head = format!("{interim}HTTP/1.1 200 OK\r\nX-Kv: secret\r\n");
        [head.into_bytes(), framed(answer_body, *chunked, *asked != "HEAD")].concat()
    }
}

fn framed(body: &[u8], chunked: bool, with_body: bool) -> Vec<u8> {
    if !chunked {
        let mut bytes = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(if with_body { body } else { &[] });
        return bytes;
    }
    let mut bytes = b"Transfer-Encoding: gzip, Chunked\r\n\r\n".to_vec();
    if with_body {
        for chunk in body.chunks(7) {
            bytes.extend_from_slice(format!("{:X} ;ext=\"a\"\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\nTrailer: t\r\n\r\n");
    }
    bytes
}

fn message() -> impl Strategy<Value = Message> {
    let body = || prop::collection::vec(any::<u8>(), 0..40);
    let asked = prop::sample::select(vec!["GET", "HEAD", "POST", "PURGE"]);
    (asked, body(), body(), any::<bool>(), any::<bool>()).prop_map(
        |(asked, request_body, answer_body, chunked, interim)| Message {
            asked,
            request_body,
            answer_body,
            chunked,
            interim,
        },
    )
}

/// Feeds both directions in pieces; what comes out.
fn carried(toxics: &[(&str, &str, Value)], messages: &[Message], cuts: &[usize]) -> [Vec<u8>; 2] {
    let mut both = Both::new(toxics);
    let whole = |part: fn(&Message) -> Vec<u8>| messages.iter().flat_map(part).collect::<Vec<u8>>();
    for piece in pieces(&whole(Message::request), cuts) {
        both.request(&piece);
    }
    for piece in pieces(&whole(Message::answer), cuts) {
        both.answer(&piece);
    }
    both.end_of_server();
    [both.to_server, both.to_client].map(|mut queue| {
        let mut bytes = Vec::new();
        while let Some(event) = queue.pop() {
            if let Event::Chunk(chunk, _) = event {
                bytes.extend_from_slice(&chunk);
            }
        }
        bytes
    })
}

fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn without_toxics_what_comes_is_what_goes_however_it_is_split(
        messages in prop::collection::vec(message(), 0..4),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let sent = |part: fn(&Message) -> Vec<u8>| messages.iter().flat_map(part).collect::<Vec<u8>>();
        let expected = [sent(Message::request), sent(Message::answer)];
        prop_assert_eq!(carried(&[], &messages, &cuts), expected);
    }

    #[test]
    fn with_toxics_what_goes_does_not_depend_on_how_it_is_split(
        messages in prop::collection::vec(message(), 1..4),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let toxics = [
            ("strip_header", "upstream", json!({"name": "x-kv"})),
            ("corrupt_body", "upstream", json!({})),
            ("duplicate_header", "downstream", json!({"name": "x-kv"})),
            ("corrupt_body", "downstream", json!({})),
        ];
        let [up, down] = carried(&toxics, &messages, &cuts);
        let [whole_up, whole_down] = carried(&toxics, &messages, &[]);
        prop_assert_eq!((&up, &down), (&whole_up, &whole_down));
        // Every head lost its header, and nothing else was lost.
        let stripped = messages.len() * "X-Kv: secret\r\n".len();
        let sent = |part: fn(&Message) -> Vec<u8>| messages.iter().map(|m| part(m).len()).sum::<usize>();
        prop_assert_eq!(up.len(), sent(Message::request) - stripped);
        prop_assert_eq!(down.len(), sent(Message::answer) + stripped);
    }

    #[test]
    fn bytes_of_any_kind_pass_as_they_are(
        up in prop::collection::vec(any::<u8>(), 0..300),
        down in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let strip = |stream| ("strip_header", stream, json!({"name": "x-kv"}));
        for toxics in [vec![], vec![strip("upstream"), strip("downstream")]] {
            let mut both = Both::new(&toxics);
            for piece in pieces(&up, &cuts) {
                both.request(&piece);
            }
            for piece in pieces(&down, &cuts) {
                both.answer(&piece);
            }
            both.up.end(both.now, &mut both.exchange, &mut both.to_server);
            both.end_of_server();
            prop_assert_eq!(both.server_sees(), String::from_utf8_lossy(&up));
            prop_assert_eq!(both.client_sees(), String::from_utf8_lossy(&down));
        }
    }
}
