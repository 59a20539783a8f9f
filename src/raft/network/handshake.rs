//! How two nodes find out that both know the cluster's secret, before anything else is read.
//!
//! ```text
//! connecting                                     listening
//! hello      8 letters | lane u8 | from u64 | to u64 (0: whoever) | nonce 32
//!                                                challenge  node u64 | nonce 32
//! proof      HMAC-SHA256 32
//!                                                welcome    HMAC-SHA256 32
//!                                                or refusal text
//! ```
//!
//! Both codes cover everything said before, each with a word of its own in front, so that neither
//! can be used for the other, for another lane or for another node. The one that connects goes
//! first: a stranger gets no code out of a listening node.
//!
//! Not done here: secrecy. Without TLS ([`channel`](super::channel)) what is sent later can be read,
//! and changed, by whoever sits between two nodes; against that there is a private network.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::channel::Channel;
use super::connection::Reader;
use super::frame::{Garbage, put_frame};
use super::lane::Lane;

const LETTERS: &[u8; 8] = b"quorate\n";
const NONCE_BYTES: usize = 32;
const CODE_BYTES: usize = 32;

/// Payload bytes of a handshake's frame, at most: a refusal's text is the longest.
pub(super) const HANDSHAKE_BYTES_MAX: usize = 512;

const HELLO: u8 = 240;
const CHALLENGE: u8 = 241;
const PROOF: u8 = 242;
const WELCOME: u8 = 243;
const REFUSAL: u8 = 244;

/// What a connection is for, and between whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Introduction {
    pub lane: Lane,
    pub from: u64,
    pub to: u64,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refused {
    /// It broke off, or never came about.
    Broken(io::Error),
    /// What came is none of our protocol.
    Garbage(Garbage),
    /// The other side does not know the secret.
    Secret,
    /// The other side says why it will not.
    Told(String),
    /// Another node lives there.
    Other(u64),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Broken(error) => write!(f, "{error}"),
            Refused::Garbage(garbage) => write!(f, "{garbage}"),
            Refused::Secret => f.write_str("it does not know the cluster's secret"),
            Refused::Told(why) => write!(f, "refused: {why}"),
            Refused::Other(id) => write!(f, "node {id} lives there"),
        }
    }
}

/// Presents this node on a new connection. Answers which node listens there.
///
/// # Errors
/// Where it is not let in, or the other side does not know the secret.
pub(super) async fn present(
    channel: &Channel,
    reader: &mut Reader,
    secret: &[u8],
    introduction: Introduction,
) -> Result<u64, Refused> {
    let mut said = hello(introduction, &nonce());
    send(channel, HELLO, &said).await?;
    let challenge = expect(reader, CHALLENGE, 8 + NONCE_BYTES).await?;
    let node = challenge.slice(..8).get_u64_le();
    if introduction.to != 0 && node != introduction.to {
        return Err(Refused::Other(node));
    }
    said.extend_from_slice(&challenge);
    send(
        channel,
        PROOF,
        &code(secret, b"proof", &said).finalize_bytes(),
    )
    .await?;
    let welcome = expect(reader, WELCOME, CODE_BYTES).await?;
    check(code(secret, b"welcome", &said), &welcome)?;
    Ok(node)
}

/// Lets the other side of a new connection in, or not.
///
/// # Errors
/// Where it is not let in.
pub(super) async fn receive(
    channel: &Channel,
    reader: &mut Reader,
    secret: &[u8],
    node: u64,
) -> Result<Introduction, Refused> {
    let hello = expect(reader, HELLO, LETTERS.len() + 17 + NONCE_BYTES).await?;
    let introduction = introduction(&hello).ok_or(Refused::Garbage(Garbage::Content(HELLO)))?;
    let mut challenge = Vec::with_capacity(8 + NONCE_BYTES);
    challenge.put_u64_le(node);
    challenge.put_slice(&nonce());
    send(channel, CHALLENGE, &challenge).await?;
    let proof = expect(reader, PROOF, CODE_BYTES).await?;
    let mut said = hello.to_vec();
    said.extend_from_slice(&challenge);
    if let Err(refused) = check(code(secret, b"proof", &said), &proof) {
        send(channel, REFUSAL, b"the cluster's secret is another").await?;
        return Err(refused);
    }
    if introduction.to != 0 && introduction.to != node {
        let text = format!("this is node {node}, not {}", introduction.to);
        send(channel, REFUSAL, text.as_bytes()).await?;
        return Err(Refused::Other(introduction.to));
    }
    let welcome = code(secret, b"welcome", &said).finalize_bytes();
    send(channel, WELCOME, &welcome).await?;
    Ok(introduction)
}

fn hello(introduction: Introduction, nonce: &[u8]) -> Vec<u8> {
    let mut hello = Vec::with_capacity(LETTERS.len() + 17 + NONCE_BYTES);
    hello.put_slice(LETTERS);
    hello.put_u8(introduction.lane.number());
    hello.put_u64_le(introduction.from);
    hello.put_u64_le(introduction.to);
    hello.put_slice(nonce);
    hello
}

fn introduction(hello: &Bytes) -> Option<Introduction> {
    let mut fields = hello.clone();
    let letters = fields.split_to(LETTERS.len());
    let lane = Lane::of(fields.get_u8())?;
    let (from, to) = (fields.get_u64_le(), fields.get_u64_le());
    (letters == LETTERS[..] && from != 0).then_some(Introduction { lane, from, to })
}

fn nonce() -> [u8; NONCE_BYTES] {
    rand::random()
}

struct Code(Option<Hmac<Sha256>>);

fn code(secret: &[u8], word: &[u8], said: &[u8]) -> Code {
    // A key of any length will do: `new_from_slice` fails for none.
    let mut code = Hmac::<Sha256>::new_from_slice(secret).ok();
    if let Some(code) = &mut code {
        code.update(word);
        code.update(said);
    }
    Code(code)
}

impl Code {
    fn finalize_bytes(self) -> Vec<u8> {
        let code = self.0.map(|code| code.finalize().into_bytes().to_vec());
        code.unwrap_or_default()
    }
}

/// Compares in constant time.
fn check(expected: Code, found: &[u8]) -> Result<(), Refused> {
    let verified = expected.0.map(|code| code.verify_slice(found));
    match verified {
        Some(Ok(())) => Ok(()),
        _ => Err(Refused::Secret),
    }
}

async fn send(channel: &Channel, kind: u8, payload: &[u8]) -> Result<(), Refused> {
    let mut bytes = Vec::with_capacity(128);
    put_frame(&mut bytes, kind, 0, |out| out.extend_from_slice(payload));
    channel.send(bytes).await.0.map_err(Refused::Broken)
}

/// The payload of the next frame, which has to be of this kind and length.
async fn expect(reader: &mut Reader, kind: u8, length: usize) -> Result<Bytes, Refused> {
    let frame = reader.next().await.map_err(|error| error.into_refused())?;
    if frame.kind == REFUSAL && kind != HELLO && kind != PROOF {
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        return Err(Refused::Told(text));
    }
    if frame.kind != kind {
        return Err(Refused::Garbage(Garbage::Kind(frame.kind)));
    }
    if frame.payload.len() != length {
        return Err(Refused::Garbage(Garbage::Content(kind)));
    }
    Ok(frame.payload)
}
