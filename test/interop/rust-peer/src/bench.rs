//! What connections from the listening port cost, for comparison with others. The swarm
//! never hears of them

use std::{
    fs,
    future::pending,
    io,
    mem::MaybeUninit,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
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
use tokio::task::AbortHandle;

use crate::{
    events::describe,
    node::{self, Security},
};

/// How many dials are under way at the same time
const PARALLEL: usize = 50;

const OPTIONS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };

/// All dials, so that each has another destination
static DIALED: AtomicU32 = AtomicU32::new(0);

/// The connections that were not closed yet, each in a task of its own
static HELD: Mutex<Vec<AbortHandle>> = Mutex::new(Vec::new());

/// Opens connections and keeps them, with security and muxer if there is a peer
pub async fn dial(
    count: usize,
    port: u16,
    peer: Option<PeerId>,
    key: Keypair,
    security: Security,
) -> Result<Value, String> {
    let Some(peer) = peer else {
        return open(node::tcp().boxed(), count, port, |stream: TcpStream| async {
            hold(async move {
                let _open = stream;
                pending().await
            });
            Ok(())
        })
        .await;
    };

    open(node::upgrade(node::tcp(), &key, security), count, port, |(id, mut muxer)| async move {
        if id != peer {
            return Err(format!("connected to {id}"));
        }

        // the muxer is negotiated lazily, so our own word for it is not enough
        refuse_stream(&mut muxer).await.map_err(|error| describe(&error))?;
        hold(async move { while refuse_stream(&mut muxer).await.is_ok() {} });

        Ok(())
    })
    .await
}

/// Closes the newest of them
pub fn close(count: usize) -> Result<Value, String> {
    let mut held = HELD.lock().expect("nothing panics with it");
    let rest = held.len().saturating_sub(count);
    held.drain(rest..).for_each(|connection| connection.abort());

    Ok(json!({}))
}

/// What is resident
pub fn memory() -> Result<Value, String> {
    // the numbers in /proc/self/status lag behind
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").map_err(|error| describe(&error))?;
    let kilobytes = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .and_then(|rss| rss.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .ok_or("no Rss in smaps_rollup")?;

    Ok(json!({ "rssBytes": kilobytes * 1024 }))
}

fn hold(connection: impl Future<Output = ()> + Send + 'static) {
    let task = tokio::spawn(connection).abort_handle();

    HELD.lock().expect("nothing panics with it").push(task);
}

/// Dials that often, from the port of a new listener, until one fails. A dial is done when
/// `finish` is
async fn open<T: 'static, F: Future<Output = Result<(), String>>>(
    mut transport: Boxed<T>,
    count: usize,
    port: u16,
    finish: impl Fn(T) -> F,
) -> Result<Value, String> {
    let listening = listen(&mut transport).await?;
    let (start, cpu_before) = (Instant::now(), cpu_seconds());

    stream::iter(0..count)
        .map(|_| {
            let dial = transport.dial(destination(port), OPTIONS);
            let finish = &finish;

            async move {
                let dialed = dial.map_err(|error| describe(&error))?;

                finish(dialed.await.map_err(|error| describe(&error))?).await
            }
        })
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await?;

    Ok(json!({
        "seconds": start.elapsed().as_secs_f64(),
        "cpuSeconds": cpu_seconds() - cpu_before,
        "port": listening,
    }))
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

fn destination(port: u16) -> Multiaddr {
    let [_, a, b, c] = DIALED.fetch_add(1, Ordering::Relaxed).to_be_bytes();

    Multiaddr::empty().with(Protocol::Ip4([127, 1 + a, b, c].into())).with(Protocol::Tcp(port))
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
