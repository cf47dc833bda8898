use std::future::poll_fn;
use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

use super::*;

const PIPE_BYTES: usize = 1 << 10;

fn pair() -> (DuplexStream, Paced<DuplexStream>) {
    let (client, server) = duplex(PIPE_BYTES);
    (client, Paced::new(server, &ServerLimits::default()))
}

async fn read(paced: &mut Paced<DuplexStream>) -> io::Result<usize> {
    paced.read(&mut [0; 64]).await
}

#[tokio::test(start_paused = true)]
async fn a_head_has_ten_seconds_however_it_trickles() {
    let (mut client, mut paced) = pair();
    let began = Instant::now();
    let trickle = async {
        loop {
            sleep(Duration::from_secs(3)).await;
            if client.write_all(b"G").await.is_err() {
                return;
            }
        }
    };
    let server = async {
        while let Ok(bytes) = read(&mut paced).await {
            assert_eq!(bytes, 1);
        }
        drop(paced);
        began.elapsed()
    };
    let (took, ()) = futures_util::future::join(server, trickle).await;
    assert_eq!(took.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn between_requests_a_connection_may_wait_a_minute_and_the_next_head_ten_seconds() {
    let (mut client, mut paced) = pair();
    client.write_all(b"GET").await.unwrap();
    read(&mut paced).await.unwrap();
    paced.turn().busy();
    sleep(Duration::from_mins(5)).await;
    paced.turn().answered();
    let began = Instant::now();
    let late = async {
        sleep(Duration::from_secs(50)).await;
        client.write_all(b"GET").await.unwrap();
    };
    let server = async {
        assert_eq!(read(&mut paced).await.unwrap(), 3);
        read(&mut paced).await.unwrap_err().kind()
    };
    let (kind, ()) = futures_util::future::join(server, late).await;
    assert_eq!((kind, began.elapsed().as_secs()), (ErrorKind::TimedOut, 60));
    paced.turn().answered();
    assert_eq!(read(&mut paced).await.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_fails_after_the_grace_and_one_that_is_read_does_not() {
    let (mut client, mut paced) = pair();
    paced.turn().busy();
    let began = Instant::now();
    let answer = vec![0; 2 * PIPE_BYTES];
    assert_eq!(paced.write_all(&answer).await.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 10);

    let (mut reader, mut paced) = pair();
    paced.turn().busy();
    // 100 KiB a second, for a minute.
    let reads = async {
        let mut piece = vec![0; 1000];
        for _ in 0..6_000 {
            sleep(Duration::from_millis(10)).await;
            reader.read_exact(&mut piece).await.unwrap();
        }
    };
    let answer = vec![0; 6_000_000];
    let (written, ()) = futures_util::future::join(paced.write_all(&answer), reads).await;
    written.unwrap();
    paced.flush().await.unwrap();
    // What follows begins anew.
    paced.turn().answered();
    let idle = Instant::now();
    assert_eq!(read(&mut paced).await.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(idle.elapsed().as_secs(), 60);
    // The first client is there to the end, silent.
    let gone = poll_fn(|cx| Pin::new(&mut client).poll_shutdown(cx)).await;
    gone.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_from_before_the_answer_ends_as_well() {
    let (_client, mut paced) = pair();
    let began = Instant::now();
    paced.turn().busy();
    let error = poll_fn(|cx| {
        let mut room = [0; 8];
        // As hyper does: it reads first, and not again in the same turn.
        let read = Pin::new(&mut paced).poll_read(cx, &mut ReadBuf::new(&mut room));
        if began.elapsed().is_zero() {
            assert!(read.is_pending());
            paced.turn().answered();
            assert!(Pin::new(&mut paced).poll_flush(cx).is_ready());
        }
        read
    });
    assert_eq!(error.await.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 60);
}
