use std::{
    error::Error,
    io::{self, Write},
    iter,
};

use libp2p::{Multiaddr, core::ConnectedPoint, multiaddr::Protocol};
use serde_json::Value;

/// Prints an event. The fields are a JSON object, and those that are null are left out
pub fn emit(event: &str, mut fields: Value) {
    fields["event"] = event.into();

    if let Some(fields) = fields.as_object_mut() {
        fields.retain(|_, field| !field.is_null());
    }

    // if nobody reads it any more, stdin has ended too
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{fields}").and_then(|()| out.flush());
}

/// Prints one of two events: that something was done, or why it failed
pub fn answer(done: &str, failed: &str, mut fields: Value, result: Result<(), String>) {
    match result {
        Ok(()) => emit(done, fields),
        Err(error) => {
            fields["error"] = error.into();
            emit(failed, fields);
        }
    }
}

/// What went wrong, and why
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    let mut messages: Vec<_> = causes.map(|error| error.to_string()).collect();

    messages.dedup();
    messages.join(": ")
}

/// The address of the other end, without its ID unless it is a relayed one
pub fn remote_of(endpoint: &ConnectedPoint) -> Multiaddr {
    match endpoint {
        // there, the other end's address is its ID only
        ConnectedPoint::Listener { local_addr, send_back_addr } if endpoint.is_relayed() => {
            local_addr.iter().chain(send_back_addr.iter()).collect()
        }
        _ => without_peer(endpoint.get_remote_address()),
    }
}

/// The address without an ID at its end, unless it is a relayed one
pub fn without_peer(address: &Multiaddr) -> Multiaddr {
    let relayed = address.iter().any(|part| part == Protocol::P2pCircuit);

    address.iter().filter(|part| relayed || !matches!(part, Protocol::P2p(_))).collect()
}
