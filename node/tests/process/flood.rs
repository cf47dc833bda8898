//! Bodies at their limits, and more of everything than there is room for.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::client::{
    DEADLINE, ask, connect, read, read_all, try_ask, try_connect, try_read, value_path,
};
use crate::process::dev;
use crate::topology::{PATH, node};

const MIB: usize = 1 << 20;
const VALUE_MAX: usize = 25 * MIB;
/// Bodies of requests that are held at once (ARCHITECTURE.md, limits of the node).
const HELD: usize = 256 * MIB;
/// What a process needs besides: itself, buffers of its connections, and stored values.
const REST: usize = 128 * MIB;

/// A request with more headers than `ask` writes.
fn put(to: SocketAddr, path: &str, headers: &str, body: &[u8]) -> crate::client::Answer {
    let mut stream = connect(to);
    let length = body.len();
    let head =
        format!("PUT {path} HTTP/1.1\r\nhost: h\r\n{headers}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    read(&mut stream)
}

/// A value and its metadata as a form.
fn form(value: &[u8]) -> Vec<u8> {
    let part = |name: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").into_bytes()
    };
    let metadata = b"{\"m\":1}\r\n".to_vec();
    [part("metadata"), metadata, part("value"), value.to_vec(), b"\r\n--b--\r\n".to_vec()].concat()
}

#[test]
fn a_value_of_the_longest_length_is_taken_everywhere_and_one_byte_more_is_413() {
    let mut dev = dev(&[]);
    let (rest, binding) = (dev.address("rest"), dev.address("binding"));
    let form_kind = "content-type: multipart/form-data; boundary=b\r\n";
    let bound = "cf-kv-namespace: 0f2ac74b498b48028cb68387c421e279\r\n";
    let value = vec![b'v'; VALUE_MAX];
    let more = vec![b'v'; VALUE_MAX + 1];
    let in_envelope = |refused: &crate::client::Answer| {
        let known = refused.text().contains("{\"code\":10022,");
        assert!(refused.status == 413 && known, "{} {}", refused.status, refused.text());
    };

    let path = value_path("raw");
    assert_eq!(put(rest, &path, "", &value).status, 200);
    assert!(ask(rest, "GET", &path, b"").body == value);
    in_envelope(&put(rest, &path, "", &more));

    let path = value_path("form");
    assert_eq!(put(rest, &path, form_kind, &form(&value)).status, 200);
    assert!(ask(rest, "GET", &path, b"").body == value);
    in_envelope(&put(rest, &path, form_kind, &form(&more)));

    let path = "/bound?urlencoded=true";
    assert_eq!(put(binding, path, bound, &value).status, 200);
    assert!(ask(rest, "GET", &value_path("bound"), b"").body == value);
    let refused = put(binding, path, bound, &more);
    let reason = "HTTP/1.1 413 Value length of 26214401 exceeds limit of 26214400.";
    assert!(refused.head.starts_with(reason), "{}", refused.head);
    // What was refused changed nothing.
    assert!(ask(rest, "GET", &value_path("bound"), b"").body == value);
}

#[test]
fn more_uploads_than_there_is_room_for_wait_and_are_then_refused() {
    const UPLOADS: usize = 48;
    // Together more than twice the bound that is asserted.
    const { assert!(UPLOADS * VALUE_MAX > 2 * (HELD + REST)) };
    let mut dev = dev(&[]);
    let rest = dev.address("rest");
    let body = vec![b'v'; VALUE_MAX - 1];
    let all_here = Barrier::new(UPLOADS);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let upload = |number: usize| {
            let (body, all_here) = (&body, &all_here);
            scope.spawn(move || {
                let mut stream = connect(rest);
                let path = value_path(&number.to_string());
                let head = format!(
                    "PUT {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {VALUE_MAX}\r\n\r\n"
                );
                // Whoever is refused may be cut off while it still speaks.
                let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
                // Nobody sends its last byte before all others have sent theirs, or were refused.
                all_here.wait();
                let _ = sent.and_then(|()| stream.write_all(b"v"));
                try_read(&mut stream).map_or(0, |answer| answer.status)
            })
        };
        let uploads: Vec<_> = (0..UPLOADS).map(upload).collect();
        uploads.into_iter().map(|upload| upload.join().unwrap()).collect()
    });
    let count = |status: u16| statuses.iter().filter(|other| **other == status).count();
    assert_eq!(count(200), HELD / VALUE_MAX, "{statuses:?}");
    assert_eq!(count(200) + count(503) + count(0), UPLOADS, "{statuses:?}");
    assert!(count(503) > 0, "{statuses:?}");
    let memory = dev.memory_max();
    // What was taken is also kept by two stores.
    assert!(memory < HELD + HELD + REST, "{} MiB", memory / MIB);
    assert_eq!(ask(rest, "PUT", &value_path("after"), b"all").status, 200);
}

#[test]
fn two_thousand_heads_without_an_end_take_no_more_room_than_they_may() {
    const HEADS: usize = 2_000;
    const HEAD: usize = 256 << 10;
    // A head may have 64 KiB; its buffer may be twice that.
    const BOUND: usize = 2_048 * (128 << 10) + REST;
    const { assert!(HEADS * HEAD > BOUND) };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut dev = dev(&[]);
    let rest = dev.address("rest");
    let mut streams: Vec<_> = (0..HEADS).map(|_| connect(rest)).collect();
    let piece = [b"GET / HTTP/1.1\r\nhost: h\r\nx-long: ".to_vec(), vec![b'a'; 48 << 10]].concat();
    for stream in &mut streams {
        stream.write_all(&piece).unwrap();
    }
    // All of them are there at once; now they go on, for as long as they are heard.
    for stream in &mut streams {
        let _ = stream.write_all(&vec![b'a'; HEAD - (48 << 10)]);
        let _ = stream.shutdown(Shutdown::Write);
    }
    for mut stream in streams {
        let said = read_all(&mut stream).unwrap();
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 431 "), "{said:?}");
    }
    let memory = dev.memory_max();
    assert!(memory < BOUND, "{} MiB", memory / MIB);
    assert_eq!(ask(rest, "PUT", &value_path("after"), b"all").status, 200);
}

#[test]
fn whoever_does_not_read_a_long_answer_is_cut_off() {
    let mut node = node(
        "connections = 1, answer_grace_ms = 200, answer_bytes_per_s = 1000000000, idle_ms = 200",
    );
    let rest = node.node.address("rest");
    let value = vec![b'v'; VALUE_MAX];
    {
        let mut stream = connect(rest);
        assert_eq!(try_ask(&mut stream, "PUT", PATH, &value).unwrap().status, 200);
    }
    let mut slow = until_there_is_a_place(rest);
    slow.write_all(format!("GET {PATH} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).unwrap();
    let mut head = [0; 12];
    slow.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    // There is a place for one: the next gets it when this one is let go.
    let mut next = until_there_is_a_place(rest);
    assert!(try_ask(&mut next, "GET", PATH, b"").unwrap().body == value);
    let heard = read_all(&mut slow).unwrap();
    assert!(heard.len() < VALUE_MAX, "{} bytes of an answer that was not read", heard.len());
}

/// A connection that is listened to.
fn until_there_is_a_place(rest: SocketAddr) -> std::net::TcpStream {
    let since = Instant::now();
    loop {
        assert!(since.elapsed() < DEADLINE, "nobody is let go");
        let Some(mut stream) = try_connect(rest) else { continue };
        if try_ask(&mut stream, "GET", "/", b"").is_some_and(|answer| answer.status == 404) {
            return stream;
        }
        thread::yield_now();
    }
}
