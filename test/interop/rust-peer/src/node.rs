use std::{collections::HashSet, time::Duration};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, timeout::TransportTimeout},
        upgrade::Version,
    },
    dcutr,
    futures::{AsyncRead, AsyncWrite, StreamExt},
    identify,
    identity::Keypair,
    noise, ping, relay, swarm,
    swarm::{NetworkBehaviour, SwarmEvent, behaviour::toggle::Toggle},
    tcp, tls, yamux,
};
use tokio::time::timeout;

use crate::{echo, events::describe};

const PROTOCOL_VERSION: &str = "libp2p-reuseport-tcp/interop";
pub const ECHO_PROTOCOL: StreamProtocol = StreamProtocol::new("/libp2p-reuseport-tcp/echo");

/// How long a connection may take to be made, security and muxer included. It is what
/// `SwarmBuilder` sets
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than any test
const HOURS: Duration = Duration::from_secs(24 * 60 * 60);

/// How long nothing happens when all interfaces that a wildcard stands for are known
const SETTLED: Duration = Duration::from_millis(50);

/// How much a relayed connection may carry
const CIRCUIT_BYTES: u64 = 1 << 30;

#[derive(Clone, Copy)]
pub enum Security {
    Noise,
    Tls,
}

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    relay_client: relay::client::Behaviour,
    relay_server: Toggle<relay::Behaviour>,
    dcutr: dcutr::Behaviour,
    pub echo: echo::Behaviour,
}

pub fn build(key: &Keypair, security: Security, relay_server: bool) -> Swarm<Behaviour> {
    let us = PeerId::from(key.public());
    let (relayed, relay_client) = relay::client::new(us);
    let transport = upgrade(relayed, key, security)
        .or_transport(upgrade(tcp(), key, security))
        .map(|either, _| either.into_inner());

    let behaviour = Behaviour {
        identify: identify::Behaviour::new(identify::Config::new(
            PROTOCOL_VERSION.into(),
            key.public(),
        )),
        ping: ping::Behaviour::default(),
        relay_client,
        relay_server: Toggle::from(relay_server.then(|| relay::Behaviour::new(us, generous()))),
        dcutr: dcutr::Behaviour::new(us),
        echo: echo::Behaviour::default(),
    };

    Swarm::new(
        TransportTimeout::new(transport, CONNECTION_TIMEOUT).boxed(),
        behaviour,
        us,
        swarm::Config::with_tokio_executor().with_idle_connection_timeout(HOURS),
    )
}

/// Listens on the addresses, and returns what happened until all that they stand for
/// are listened on
pub async fn listen(
    swarm: &mut Swarm<Behaviour>,
    addresses: &[Multiaddr],
) -> Result<Vec<SwarmEvent<BehaviourEvent>>, String> {
    let mut pending = HashSet::new();
    let mut events = Vec::new();

    for address in addresses {
        let listener = swarm.listen_on(address.clone());
        pending.insert(listener.map_err(|error| format!("{address}: {}", describe(&error)))?);
    }

    // a wildcard's addresses come one by one
    while let Some(event) = next_event(swarm, !pending.is_empty()).await {
        if let SwarmEvent::NewListenAddr { listener_id, .. } = &event {
            pending.remove(listener_id);
        }

        events.push(event);
    }

    Ok(events)
}

/// Returns nothing if nothing happens and none must
async fn next_event(
    swarm: &mut Swarm<Behaviour>,
    must: bool,
) -> Option<SwarmEvent<BehaviourEvent>> {
    if must { swarm.next().await } else { timeout(SETTLED, swarm.next()).await.ok()? }
}

fn tcp() -> tcp::tokio::Transport {
    tcp::tokio::Transport::new(tcp::Config::default())
}

/// Secures and muxes connections as `SwarmBuilder` does
fn upgrade<T>(raw: T, key: &Keypair, security: Security) -> Boxed<(PeerId, StreamMuxerBox)>
where
    T: Transport<Error: Send + Sync, Dial: Send, ListenerUpgrade: Send> + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let raw = raw.upgrade(Version::V1Lazy);

    match security {
        Security::Noise => raw
            .authenticate(noise::Config::new(key).expect("the key is an Ed25519 one"))
            .multiplex(yamux::Config::default())
            .boxed(),
        Security::Tls => raw
            .authenticate(tls::Config::new(key).expect("the key is an Ed25519 one"))
            .multiplex(yamux::Config::default())
            .boxed(),
    }
}

/// As many peers as come, as often as they like
fn generous() -> relay::Config {
    relay::Config {
        max_reservations: usize::MAX,
        max_reservations_per_peer: usize::MAX,
        reservation_duration: HOURS,
        reservation_rate_limiters: Vec::new(),
        max_circuits: usize::MAX,
        max_circuits_per_peer: usize::MAX,
        max_circuit_duration: HOURS,
        max_circuit_bytes: CIRCUIT_BYTES,
        circuit_src_rate_limiters: Vec::new(),
    }
}
