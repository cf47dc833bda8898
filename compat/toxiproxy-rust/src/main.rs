//! The client `toxiproxy_rust` drives `relapse proxy`: everything that it can do, against an upstream of this program.
//!
//! `compat-toxiproxy-rust target/release/relapse`. What it says ends with what it did; whatever is not as it should be is a
//! panic. The client takes every answer for a success, so that what it asked for is looked at by what it tells afterwards.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use toxiproxy_rust::client::Client;
use toxiproxy_rust::proxy::{Proxy, ProxyPack};

/// A proxy process. It ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let relapse = std::env::args().nth(1).expect("the path of relapse");
    let mut child = Command::new(relapse)
        .args(["proxy", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("relapse starts");
    let mut said = BufReader::new(child.stdout.take().expect("its output"));
    let _process = Process(child);
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    let url = line.split(' ').nth(1).expect("an address");
    let client = Client::new(url.trim_start_matches("http://"));
    assert!(client.is_running());
    assert!(client.version().expect("a version").contains("2.12"));
    drive(&client);
    println!("toxiproxy_rust 0.1.6: every operation");
}

fn drive(client: &Client) {
    let upstream = echo();
    let pack = |name: &str| {
        ProxyPack::new(name.to_owned(), "127.0.0.1:0".to_owned(), upstream.clone())
    };
    let made = client.populate(vec![pack("one"), pack("two")]).expect("proxies are made");
    assert_eq!(made.len(), 2);
    assert_eq!(client.all().expect("proxies are told").len(), 2);
    let proxy = client.find_and_reset_proxy("one").expect("it is found");
    said_back(&proxy, b"hello").expect("it goes through");

    proxy.with_latency("downstream".to_owned(), 100, 0, 1.0);
    let told = proxy.toxics().expect("toxics are told");
    assert_eq!((told[0].name.as_str(), told[0].attributes["latency"]), ("latency_downstream", 100));
    let took = said_back(&proxy, b"slow").expect("it goes through");
    assert!(took >= Duration::from_millis(100), "{took:?}");
    proxy.delete_all_toxics().expect("toxics are removed");

    let all = proxy
        .with_bandwidth("upstream".to_owned(), 1_000, 1.0)
        .with_slow_close("upstream".to_owned(), 10, 0.5)
        .with_timeout("upstream".to_owned(), 0, 0.0)
        .with_slicer("downstream".to_owned(), 16, 4, 0, 0.8);
    let applied = all.apply(|| {
        assert_eq!(proxy.toxics().expect("toxics are told").len(), 4);
        said_back(&proxy, &[b'x'; 1_000]).expect("it goes through");
    });
    applied.expect("toxics are removed");
    assert!(proxy.toxics().expect("toxics are told").is_empty());

    proxy.with_limit_data("downstream".to_owned(), 2, 1.0);
    let cut = said_back(&proxy, b"four").expect_err("it is cut");
    assert_eq!(cut, b"fo");
    client.reset().expect("all is as it was");
    said_back(&proxy, b"again").expect("it goes through");

    let down = proxy.with_down(|| {
        TcpStream::connect(&proxy.proxy_pack.listen).expect_err("nobody listens");
    });
    down.expect("it comes back");
    said_back(&proxy, b"back").expect("it goes through");
    proxy.delete().expect("it is removed");
    assert_eq!(client.all().expect("proxies are told").len(), 1);
}

/// Sends through a proxy and waits for the same to come back; what came instead.
fn said_back(proxy: &Proxy, bytes: &[u8]) -> Result<Duration, Vec<u8>> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(&proxy.proxy_pack.listen).expect("the proxy listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.write_all(bytes).expect("it is sent");
    let mut got = Vec::new();
    stream.take(bytes.len() as u64).read_to_end(&mut got).expect("an orderly end");
    if got == bytes { Ok(begun.elapsed()) } else { Err(got) }
}

/// A server that sends back what it gets; where it listens.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut from = stream.try_clone().expect("a second handle");
                std::io::copy(&mut from, &mut &stream)
            });
        }
    });
    address
}
