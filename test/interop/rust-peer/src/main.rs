//! An interop peer made of rust-libp2p. What it does is specified in ../../README.md

mod echo;
mod events;
mod flags;
mod node;
mod peer;

use std::{io, process, thread};

use libp2p::futures::StreamExt;
use tokio::{select, sync::mpsc};

use crate::{
    flags::Flags,
    peer::{Input, Peer},
};

#[tokio::main]
async fn main() {
    let flags = Flags::parse().unwrap_or_else(|error| fail(&error));
    let (sender, mut inputs) = mpsc::unbounded_channel();
    let mut peer = Peer::start(&flags, sender.clone()).await.unwrap_or_else(|error| fail(&error));

    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(Input::Line(line));
        }

        process::exit(0);
    });

    loop {
        select! {
            event = peer.swarm.select_next_some() => peer.on_event(event),
            Some(input) = inputs.recv() => peer.on_input(input),
        }
    }
}

fn fail(error: &str) -> ! {
    eprintln!("{error}");
    process::exit(1);
}
