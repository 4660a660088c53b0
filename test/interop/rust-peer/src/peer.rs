//! Commands in, events out

mod swarm_events;

use std::{
    collections::{BTreeMap, HashMap},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::transport::ListenerId,
    multiaddr::Protocol,
    swarm::{
        ConnectionId,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use serde_json::json;
use tokio::{
    sync::{mpsc::UnboundedSender, oneshot::Receiver},
    time::timeout,
};

use crate::{
    echo,
    events::{answer, describe, emit},
    flags::Flags,
    node::{self, Behaviour},
};

const ECHO_TIMEOUT: Duration = Duration::from_secs(60);

pub enum Input {
    Line(String),
    Due(Dial),
}

pub struct Dial {
    /// As in the command
    address: String,
    /// From when on it counts
    since: Instant,
    purpose: Purpose,
}

#[derive(Clone, Copy)]
enum Purpose {
    Dial,
    /// The address is a relay's
    Reserve,
}

impl Dial {
    fn new(address: &str, purpose: Purpose) -> Self {
        Self { address: address.into(), since: Instant::now(), purpose }
    }
}

#[derive(Clone, Copy)]
struct Connection {
    peer: PeerId,
    relayed: bool,
}

pub struct Peer {
    pub swarm: Swarm<Behaviour>,
    relay_server: bool,
    inputs: UnboundedSender<Input>,
    connections: BTreeMap<ConnectionId, Connection>,
    dials: HashMap<ConnectionId, Dial>,
    /// The relays' addresses
    reservations: HashMap<ListenerId, Multiaddr>,
    closing: Vec<PeerId>,
}

impl Peer {
    /// Returns when all addresses are listened on
    pub async fn start(flags: &Flags, inputs: UnboundedSender<Input>) -> Result<Self, String> {
        let mut peer = Self {
            swarm: node::build(&flags.key, flags.security, flags.relay_server),
            relay_server: flags.relay_server,
            inputs,
            connections: BTreeMap::new(),
            dials: HashMap::new(),
            reservations: HashMap::new(),
            closing: Vec::new(),
        };
        let early = node::listen(&mut peer.swarm, &flags.listen).await?;

        emit("ready", json!({ "peer": peer.swarm.local_peer_id().to_string() }));
        early.into_iter().for_each(|event| peer.on_event(event));

        Ok(peer)
    }

    pub fn on_input(&mut self, input: Input) {
        match input {
            Input::Due(dial) => self.dial(dial),
            Input::Line(line) => {
                let words: Vec<_> = line.split_whitespace().collect();

                if self.on_command(&words).is_none() {
                    eprintln!("what is '{line}'?");
                }
            }
        }
    }

    /// Returns nothing if there is no such command
    fn on_command(&mut self, words: &[&str]) -> Option<()> {
        match words {
            ["dial", address] => self.dial(Dial::new(address, Purpose::Dial)),
            ["dial", address, at] => self.dial_at(address.to_string(), at.parse().ok()?),
            ["reserve", relay] => self.dial(Dial::new(relay, Purpose::Reserve)),
            ["echo", peer, length] => self.echo(peer.parse().ok()?, length.parse().ok()?),
            // rust-libp2p has one way of closing
            ["close" | "abort", peer] => self.close(peer.parse().ok()?),
            _ => return None,
        }

        Some(())
    }

    fn dial_at(&self, address: String, at: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        let wait = Duration::from_millis(at).saturating_sub(now);
        let dial = Dial { address, since: Instant::now() + wait, purpose: Purpose::Dial };
        let inputs = self.inputs.clone();

        // tokio's timers are a millisecond late
        thread::spawn(move || {
            thread::sleep(wait);
            let _ = inputs.send(Input::Due(dial));
        });
    }

    fn dial(&mut self, dial: Dial) {
        let opts = parse_with_peer(&dial.address).map(|(address, peer)| {
            DialOpts::peer_id(peer)
                .condition(PeerCondition::Disconnected)
                .addresses(vec![address])
                .build()
        });

        match opts {
            Ok(opts) if opts.get_peer_id().is_some_and(|peer| self.swarm.is_connected(&peer)) => {
                self.on_dialed(dial, Ok(()));
            }
            Ok(opts) => {
                let id = opts.connection_id();

                match self.swarm.dial(opts) {
                    Ok(()) => drop(self.dials.insert(id, dial)),
                    Err(error) => self.on_dialed(dial, Err(describe(&error))),
                }
            }
            Err(error) => self.on_dialed(dial, Err(error)),
        }
    }

    fn on_dialed(&mut self, dial: Dial, result: Result<(), String>) {
        match dial.purpose {
            Purpose::Dial => {
                let fields = json!({ "address": dial.address, "ms": in_ms(dial.since) });
                answer("dialed", "dial-failed", fields, result);
            }
            Purpose::Reserve => {
                if let Err(error) = result.and_then(|()| self.reserve(&dial.address)) {
                    emit("reserve-failed", json!({ "address": dial.address, "error": error }));
                }
            }
        }
    }

    fn reserve(&mut self, relay: &str) -> Result<(), String> {
        let (relay, _) = parse_with_peer(relay)?;
        let listener = self.swarm.listen_on(relay.clone().with(Protocol::P2pCircuit));
        self.reservations.insert(listener.map_err(|error| describe(&error))?, relay);

        Ok(())
    }

    fn echo(&mut self, peer: PeerId, length: usize) {
        let started = Instant::now();
        let best = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.peer == peer)
            .min_by_key(|(_, connection)| connection.relayed)
            .map(|(id, connection)| (*id, connection.relayed));
        let opened = best.map(|(id, _)| self.swarm.behaviour_mut().echo.open(peer, id));

        tokio::spawn(async move {
            let result = timeout(ECHO_TIMEOUT, exchange(opened, length)).await;
            let fields = json!({
                "peer": peer.to_string(),
                "bytes": length,
                "relayed": best.is_some_and(|(_, relayed)| relayed),
                "ms": in_ms(started),
            });

            answer("echoed", "echo-failed", fields, result.unwrap_or_else(|e| Err(describe(&e))));
        });
    }

    fn close(&mut self, peer: PeerId) {
        self.closing.push(peer);

        if self.swarm.disconnect_peer_id(peer).is_err() {
            self.on_disconnected(peer);
        }
    }
}

async fn exchange(opened: Option<Receiver<echo::Opened>>, length: usize) -> Result<(), String> {
    let opened = opened.ok_or("not connected")?;
    let stream = opened.await.map_err(|_| "the connection was closed")??;

    echo::exchange(stream, length).await.map_err(|error| describe(&error))
}

/// Parses an address that ends in `/p2p/ID`
fn parse_with_peer(address: &str) -> Result<(Multiaddr, PeerId), String> {
    let address: Multiaddr = address.parse().map_err(|error| describe(&error))?;

    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Ok((address, peer)),
        _ => Err(format!("{address} does not end in /p2p/ID")),
    }
}

fn in_ms(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
