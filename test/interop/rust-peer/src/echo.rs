//! Streams of the echo protocol, each over the very connection that is asked for:
//! `libp2p-stream` picks one at random

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs::File,
    io::{self, Read},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse, upgrade::ReadyUpgrade},
    futures::{AsyncReadExt, AsyncWriteExt, future},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, SubstreamProtocol, THandlerInEvent, ToSwarm,
        handler::ConnectionEvent,
    },
};
use tokio::sync::oneshot;

use crate::node::ECHO_PROTOCOL;

pub type Opened = Result<Stream, String>;

#[derive(Default)]
pub struct Behaviour {
    requests: VecDeque<(PeerId, ConnectionId, oneshot::Sender<Opened>)>,
}

impl Behaviour {
    /// Nothing is sent back if the connection is closed before the stream is open
    pub fn open(&mut self, peer: PeerId, connection: ConnectionId) -> oneshot::Receiver<Opened> {
        let (sender, receiver) = oneshot::channel();
        self.requests.push_back((peer, connection, sender));

        receiver
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match self.requests.pop_front() {
            Some((peer_id, connection, event)) => Poll::Ready(ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::One(connection),
                event,
            }),
            None => Poll::Pending,
        }
    }
}

#[derive(Default)]
pub struct Handler {
    requests: VecDeque<oneshot::Sender<Opened>>,
}

type Upgrade = ReadyUpgrade<StreamProtocol>;

impl ConnectionHandler for Handler {
    type FromBehaviour = oneshot::Sender<Opened>;
    type ToBehaviour = Infallible;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Opened>;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(ReadyUpgrade::new(ECHO_PROTOCOL), ())
    }

    fn on_behaviour_event(&mut self, request: oneshot::Sender<Opened>) {
        self.requests.push_back(request);
    }

    fn poll(
        &mut self,
        _: &mut Context,
    ) -> Poll<ConnectionHandlerEvent<Upgrade, oneshot::Sender<Opened>, Infallible>> {
        match self.requests.pop_front() {
            Some(request) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(ECHO_PROTOCOL), request),
            }),
            None => Poll::Pending,
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Upgrade, Upgrade, (), oneshot::Sender<Opened>>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(stream) => {
                tokio::spawn(serve(stream.protocol));
            }
            ConnectionEvent::FullyNegotiatedOutbound(stream) => {
                let _ = stream.info.send(Ok(stream.protocol));
            }
            ConnectionEvent::DialUpgradeError(failure) => {
                let _ = failure.info.send(Err(failure.error.to_string()));
            }
            _ => {}
        }
    }
}

async fn serve(stream: Stream) {
    let (reader, mut writer) = stream.split();

    if libp2p::futures::io::copy(reader, &mut writer).await.is_ok() {
        let _ = writer.close().await;
    }
}

/// Sends so many random bytes while it reads
pub async fn exchange(stream: Stream, length: usize) -> io::Result<()> {
    let mut sent = vec![0; length];
    File::open("/dev/urandom")?.read_exact(&mut sent)?;

    let (mut reader, mut writer) = stream.split();
    let mut received = Vec::with_capacity(length);

    future::try_join(
        async {
            writer.write_all(&sent).await?;
            writer.close().await
        },
        reader.read_to_end(&mut received),
    )
    .await?;

    if received == sent {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{} bytes came back, but not those that were sent",
            received.len()
        )))
    }
}
