//! What connections from the listening port cost, for comparison with others. They go to
//! 127.0.A.B with another A.B each, so the other end must listen on 0.0.0.0. The swarm
//! never hears of them

use std::{
    fs, io,
    mem::MaybeUninit,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt},
        transport::{Boxed, DialOpts, ListenerId, PortUse},
    },
    futures::{StreamExt, TryStreamExt, future::poll_fn, stream},
    identity::Keypair,
    multiaddr::Protocol,
    tcp::tokio::TcpStream,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    events::describe,
    node::{self, Security},
};

/// There are no more addresses of that form
const MAX_COUNT: u16 = 65_000;

/// How many of the connections to be held are dialed at a time
const HOLD_PARALLEL: usize = 50;

/// How long it takes until nothing is under way any more on connections that are held
const HOLD_SETTLED: Duration = Duration::from_secs(3);

const OPTIONS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };

/// Dials with nothing but the TCP transport. Each connection is closed as soon as it is
/// made
pub async fn dial(count: u16, parallel: usize, port: u16) -> Result<Value, String> {
    let ports = Ports::default();

    time(recording(&ports), ports, count, parallel, port, |stream| async {
        drop(stream);
        Ok(())
    })
    .await
}

/// Dials with security and muxer. Each connection is closed as soon as the other end has
/// it too
pub async fn connect(
    count: u16,
    parallel: usize,
    port: u16,
    peer: PeerId,
    key: Keypair,
    security: Security,
) -> Result<Value, String> {
    let ports = Ports::default();
    let transport = node::upgrade(recording(&ports), &key, security);

    time(transport, ports, count, parallel, port, |(id, mut muxer)| async move {
        check_peer(id, peer)?;
        // the muxer is negotiated lazily, so our own word for it is not enough
        refuse_stream(&mut muxer).await.map_err(|error| describe(&error))?;

        muxer.close().await.map_err(|error| describe(&error))
    })
    .await
}

/// Dials with security and muxer, and keeps the connections until the process ends
pub async fn hold(
    count: u16,
    port: u16,
    peer: PeerId,
    key: Keypair,
    security: Security,
) -> Result<Value, String> {
    let ports = Ports::default();
    let mut transport = node::upgrade(recording(&ports), &key, security);
    let listening = listen(&mut transport).await?;
    let open = Arc::new(AtomicU16::new(0));
    let before = rss_bytes()?;

    dial_all(&mut transport, count, HOLD_PARALLEL, port, |(id, mut muxer)| {
        let open = open.clone();

        async move {
            check_peer(id, peer)?;
            open.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while refuse_stream(&mut muxer).await.is_ok() {}
                open.fetch_sub(1, Ordering::Relaxed);
            });

            Ok(())
        }
    })
    .await?;
    sleep(HOLD_SETTLED).await;

    Ok(json!({
        "connections": open.load(Ordering::Relaxed),
        "rssBytesBefore": before,
        "rssBytesAfter": rss_bytes()?,
        "fromListeningPort": count_of(&ports, listening),
    }))
}

/// The local ports of connections
type Ports = Arc<Mutex<Vec<u16>>>;

fn count_of(ports: &Ports, wanted: u16) -> usize {
    let ports = ports.lock().expect("nothing panics with it");

    ports.iter().filter(|port| **port == wanted).count()
}

/// The TCP transport as it is, but each connection leaves its local port
fn recording(ports: &Ports) -> Boxed<TcpStream> {
    let ports = ports.clone();

    node::tcp()
        .map(move |stream, _| {
            let port = stream.0.local_addr().map_or(0, |address| address.port());
            ports.lock().expect("nothing panics with it").push(port);

            stream
        })
        .boxed()
}

/// Measures what `dial_all` takes
async fn time<T: 'static, F: Future<Output = Result<(), String>>>(
    mut transport: Boxed<T>,
    ports: Ports,
    count: u16,
    parallel: usize,
    port: u16,
    finish: impl Fn(T) -> F,
) -> Result<Value, String> {
    let listening = listen(&mut transport).await?;
    let (start, cpu_before) = (Instant::now(), cpu_seconds());

    dial_all(&mut transport, count, parallel, port, finish).await?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);

    Ok(json!({
        "dials": count,
        "seconds": seconds,
        "cpuSeconds": cpu,
        "fromListeningPort": count_of(&ports, listening),
    }))
}

/// Dials that often, `parallel` at a time, until one fails. A dial is done when `finish` is
async fn dial_all<T: 'static, F: Future<Output = Result<(), String>>>(
    transport: &mut Boxed<T>,
    count: u16,
    parallel: usize,
    port: u16,
    finish: impl Fn(T) -> F,
) -> Result<(), String> {
    if count > MAX_COUNT {
        return Err(format!("there are only {MAX_COUNT} addresses"));
    }

    stream::iter(0..count)
        .map(|n| {
            let dial = transport.dial(loopback(n, port), OPTIONS);
            let finish = &finish;

            async move {
                let dialed = dial.map_err(|error| describe(&error))?;

                finish(dialed.await.map_err(|error| describe(&error))?).await
            }
        })
        .buffer_unordered(parallel)
        .try_collect()
        .await
}

/// Returns the port when it will be reused for loopback addresses
async fn listen<T: 'static>(transport: &mut Boxed<T>) -> Result<u16, String> {
    let wildcard = "/ip4/0.0.0.0/tcp/0".parse().expect("it is an address");
    transport.listen_on(ListenerId::next(), wildcard).map_err(|error| describe(&error))?;

    loop {
        // a wildcard's addresses come one by one
        let Some(address) = transport.select_next_some().await.into_new_address() else {
            continue;
        };

        if let [Protocol::Ip4(ip), Protocol::Tcp(port)] = address.iter().collect::<Vec<_>>()[..]
            && ip.is_loopback()
        {
            return Ok(port);
        }
    }
}

/// Waits for the other end's next stream, and resets it. The first one is for identify
async fn refuse_stream(muxer: &mut StreamMuxerBox) -> io::Result<()> {
    poll_fn(|cx| {
        // it does nothing by itself
        let _ = muxer.poll_unpin(cx)?;

        muxer.poll_inbound_unpin(cx)
    })
    .await
    .map(drop)
}

fn check_peer(connected: PeerId, expected: PeerId) -> Result<(), String> {
    if connected == expected { Ok(()) } else { Err(format!("connected to {connected}")) }
}

fn loopback(n: u16, port: u16) -> Multiaddr {
    let [a, b] = (n + 1).to_be_bytes();

    Multiaddr::empty().with(Protocol::Ip4([127, 0, a, b].into())).with(Protocol::Tcp(port))
}

/// The CPU time that this process has taken, in user and in system mode
fn cpu_seconds() -> f64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it is given memory for what it writes, which is valid as zeros too
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };

    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| time.tv_sec as f64 + time.tv_usec as f64 / 1e6)
        .sum()
}

fn rss_bytes() -> Result<u64, String> {
    // the numbers in /proc/self/status lag behind
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").map_err(|error| describe(&error))?;
    let kilobytes = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .and_then(|rss| rss.trim().strip_suffix(" kB")?.parse::<u64>().ok());

    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or("no Rss in smaps_rollup".into())
}
