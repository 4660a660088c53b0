//! What a peer does when something happens to it

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, transport::ListenerId},
    dcutr, identify,
    multiaddr::Protocol,
    swarm::SwarmEvent,
};
use serde_json::{Value, json};

use super::{Connection, Peer};
use crate::{
    events::{describe, emit, remote_of, without_peer},
    node::BehaviourEvent,
};

impl Peer {
    pub fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                self.on_listening(listener_id, address)
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                if let Some(relay) = self.reservations.remove(&listener_id) {
                    let error =
                        reason.map_or_else(|e| describe(&e), |()| "the relay is gone".into());
                    emit("reserve-failed", json!({ "address": relay, "error": error }));
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let connection = Connection { peer: peer_id, relayed: endpoint.is_relayed() };
                self.connections.insert(connection_id, connection);
                emit("connected", fields_of(peer_id, &endpoint));

                if let Some(dial) = self.dials.remove(&connection_id) {
                    self.on_dialed(dial, Ok(()));
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                endpoint,
                num_established,
                ..
            } => {
                self.connections.remove(&connection_id);
                emit("disconnected", fields_of(peer_id, &endpoint));

                if num_established == 0 {
                    self.on_disconnected(peer_id);
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                match self.dials.remove(&connection_id) {
                    Some(dial) => self.on_dialed(dial, Err(describe(&error))),
                    None => eprintln!("dial failed: {}", describe(&error)),
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                eprintln!("connection from {send_back_addr} failed: {}", describe(&error));
            }
            SwarmEvent::Dialing { peer_id: Some(peer), .. } => self.on_dialing(peer),
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            _ => {}
        }
    }

    fn on_listening(&mut self, listener: ListenerId, address: Multiaddr) {
        if let Some(relay) = self.reservations.remove(&listener) {
            // the relay's own idea of its addresses may be another one
            let us = Protocol::P2p(*self.swarm.local_peer_id());
            let address = relay.with(Protocol::P2pCircuit).with(us);
            emit("reserved", json!({ "address": address }));
        } else if !address.iter().any(|part| part == Protocol::P2pCircuit) {
            emit("listening", json!({ "address": address }));

            if self.relay_server {
                // it tells no others to those who reserve
                self.swarm.add_external_address(address);
            }
        }
    }

    /// Called when a behaviour dials, not for our own dials
    fn on_dialing(&mut self, peer: PeerId) {
        // nothing but DCUtR dials a peer that there is a relayed connection to
        if self.connections.values().any(|to| to.peer == peer && to.relayed) {
            emit("hole-punch", json!({ "state": "begun", "peer": peer.to_string() }));
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            }) => {
                let connection = self.connections.get(&connection_id);
                emit(
                    "observed",
                    json!({
                        "peer": peer_id.to_string(),
                        "address": without_peer(&info.observed_addr),
                        "relayed": connection.map(|connection| connection.relayed),
                    }),
                );
            }
            BehaviourEvent::Dcutr(dcutr::Event { remote_peer_id, result }) => {
                let (state, error) = match result {
                    Ok(_) => ("succeeded", None),
                    Err(error) => ("failed", Some(describe(&error))),
                };
                emit(
                    "hole-punch",
                    json!({ "state": state, "peer": remote_peer_id.to_string(), "error": error }),
                );
            }
            _ => {}
        }
    }

    pub(super) fn on_disconnected(&mut self, peer: PeerId) {
        for _ in self.closing.extract_if(.., |closing| *closing == peer) {
            emit("closed", json!({ "peer": peer.to_string() }));
        }
    }
}

fn fields_of(peer: PeerId, endpoint: &ConnectedPoint) -> Value {
    json!({
        "peer": peer.to_string(),
        "direction": if endpoint.is_dialer() { "outbound" } else { "inbound" },
        "remote": remote_of(endpoint),
        "relayed": endpoint.is_relayed(),
    })
}
