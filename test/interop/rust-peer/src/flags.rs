use std::env;

use libp2p::{Multiaddr, identity::Keypair};

use crate::node::Security;

pub struct Flags {
    pub listen: Vec<Multiaddr>,
    pub security: Security,
    pub key: Keypair,
    pub relay_server: bool,
}

impl Flags {
    pub fn parse() -> Result<Self, String> {
        let mut flags = Self {
            listen: Vec::new(),
            security: Security::Noise,
            key: Keypair::generate_ed25519(),
            relay_server: false,
        };
        let mut args = env::args().skip(1);

        while let Some(flag) = args.next() {
            if flag == "--relay-server" {
                flags.relay_server = true;
                continue;
            }

            let value = args.next().ok_or(format!("{flag} needs a value"))?;

            match (flag.as_str(), value.as_str()) {
                ("--listen", address) => {
                    let address = address.parse().map_err(|e| format!("{address}: {e}"))?;
                    flags.listen.push(address);
                }
                ("--security", "noise") => flags.security = Security::Noise,
                ("--security", "tls") => flags.security = Security::Tls,
                ("--seed", seed) => flags.key = seeded(seed)?,
                _ => return Err(format!("what is {flag} {value}?")),
            }
        }

        Ok(flags)
    }
}

fn seeded(seed: &str) -> Result<Keypair, String> {
    match seed.parse() {
        Ok(seed @ 1..=255u8) => Keypair::ed25519_from_bytes([seed; 32]).map_err(|e| e.to_string()),
        _ => Err(format!("--seed is from 1 to 255, not {seed}")),
    }
}
