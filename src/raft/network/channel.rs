//! The bytes of a connection, in the clear or under TLS.
//!
//! rustls does no I/O: what it wants sent and what it needs to read passes through here. Reading may
//! make something to send (the end of TLS' own handshake, a new key), so sends take turns. A reader
//! never waits for one: two nodes that both wait to send, and do not read meanwhile, wait for ever.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use futures::lock::{Mutex, MutexGuard};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

use crate::rt::net::Stream;

/// Bytes that are encrypted in one go: the executor's other tasks wait meanwhile.
const SEAL_BYTES: usize = 256 * 1024;

/// The files, in PEM, by which nodes know each other under TLS. Both sides of a connection show
/// their certificate; that of the node connected to has to name its host.
#[derive(Debug, Clone)]
pub struct PeerCertificates {
    /// This node's certificate, and what leads from it to the authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities of which one has to stand behind a peer's certificate.
    pub authorities: PathBuf,
}

/// How this node's connections are secured.
#[derive(Clone)]
pub(super) struct Tls {
    connecting: Arc<ClientConfig>,
    listening: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// The text names the file, or what is wrong with them together.
    pub(super) fn read(files: &PeerCertificates) -> Result<Tls, String> {
        let mut authorities = RootCertStore::empty();
        for authority in certificates(&files.authorities)? {
            let added = authorities.add(authority);
            added.map_err(|error| at(&files.authorities, &error))?;
        }
        let authorities = Arc::new(authorities);
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key);
        let key = key.map_err(|error| at(&files.key, &error))?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let wrong = |error: rustls::Error| at(&files.certificate, &error);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider.clone());
        let verifier = verifier.build();
        let verifier = verifier.map_err(|error| at(&files.authorities, &error))?;
        let listening = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(wrong)?;
        let connecting = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(authorities)
            .with_client_auth_cert(chain, key)
            .map_err(wrong)?;
        Ok(Tls {
            connecting: Arc::new(connecting),
            listening: Arc::new(listening),
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(|error| at(path, &error))?;
    if found.is_empty() {
        return Err(at(path, &"no certificate"));
    }
    Ok(found)
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// One connection. Clones share it. One task receives, another sends.
#[derive(Clone)]
pub(super) struct Channel {
    stream: Stream,
    sealed: Option<Rc<Sealed>>,
}

struct Sealed {
    connection: RefCell<Connection>,
    unopened: RefCell<Unopened>,
    sending: Mutex<()>,
}

impl Channel {
    /// A connection that this node made to `host`.
    ///
    /// # Errors
    /// Where `host` is no name that a certificate could have.
    pub(super) fn connecting(stream: Stream, tls: Option<&Tls>, host: &str) -> io::Result<Channel> {
        let connection = match tls {
            None => None,
            Some(tls) => {
                let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
                let connection = ClientConnection::new(tls.connecting.clone(), name);
                Some(Connection::from(connection.map_err(io::Error::other)?))
            }
        };
        Ok(Self::new(stream, connection))
    }

    /// A connection that a peer, or somebody else, made to this node.
    ///
    /// # Errors
    /// None of the other side's making.
    pub(super) fn accepted(stream: Stream, tls: Option<&Tls>) -> io::Result<Channel> {
        let connection = match tls {
            None => None,
            Some(tls) => {
                let connection = ServerConnection::new(tls.listening.clone());
                Some(Connection::from(connection.map_err(io::Error::other)?))
            }
        };
        Ok(Self::new(stream, connection))
    }

    fn new(stream: Stream, connection: Option<Connection>) -> Channel {
        let sealed = connection.map(|mut connection| {
            // What waits to be sent is bounded before it comes here.
            connection.set_buffer_limit(None);
            Rc::new(Sealed {
                connection: RefCell::new(connection),
                unopened: RefCell::default(),
                sending: Mutex::new(()),
            })
        });
        Channel { stream, sealed }
    }

    /// As [`Stream::receive`].
    pub(super) async fn receive(&self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let Some(sealed) = &self.sealed else {
            return self.stream.receive(buffer).await;
        };
        let mut buffer = buffer;
        loop {
            match sealed.open(&mut buffer) {
                Ok(opened) => {
                    self.flush_aside(sealed);
                    if let Some(count) = opened {
                        return (Ok(count), buffer);
                    }
                }
                Err(error) => {
                    // The other side is to hear why, where nothing else is being sent.
                    if let Some(turn) = sealed.sending.try_lock() {
                        let _ = self.flush(sealed, turn).await;
                    }
                    return (Err(error), buffer);
                }
            }
            if !sealed.unopened.borrow().is_empty() {
                continue;
            }
            let Unopened { mut bytes, .. } = sealed.unopened.take();
            bytes.resize(buffer.len(), 0);
            let (received, bytes) = self.stream.receive(bytes).await;
            match received {
                Ok(count @ 1..) => {
                    *sealed.unopened.borrow_mut() = Unopened {
                        bytes,
                        count,
                        looked_at: 0,
                    };
                }
                ended => return (ended, buffer),
            }
        }
    }

    /// As [`Stream::send`]; before TLS' own handshake is done, what is sent waits for its end.
    pub(super) async fn send(&self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let Some(sealed) = &self.sealed else {
            return self.stream.send(bytes).await;
        };
        for piece in bytes.chunks(SEAL_BYTES) {
            let sealing = sealed.connection.borrow_mut().writer().write_all(piece);
            if let Err(error) = sealing {
                return (Err(error), bytes);
            }
            let turn = sealed.sending.lock().await;
            if let Err(error) = self.flush(sealed, turn).await {
                return (Err(error), bytes);
            }
        }
        (Ok(()), bytes)
    }

    /// Has sent what TLS wants to be sent; whoever is sending does it.
    fn flush_aside(&self, sealed: &Rc<Sealed>) {
        if !sealed.connection.borrow().wants_write() || sealed.sending.try_lock().is_none() {
            return;
        }
        let (channel, sealed) = (self.clone(), sealed.clone());
        crate::rt::spawn(async move {
            if let Some(turn) = sealed.sending.try_lock() {
                // A connection that broke is noticed by who uses it.
                let _ = channel.flush(&sealed, turn).await;
            }
        });
    }

    /// Sends what TLS wants to be sent, also what comes to it meanwhile.
    async fn flush(&self, sealed: &Sealed, _turn: MutexGuard<'_, ()>) -> io::Result<()> {
        loop {
            let mut bytes = Vec::new();
            {
                let mut connection = sealed.connection.borrow_mut();
                while connection.wants_write() {
                    connection.write_tls(&mut bytes)?;
                }
            }
            if bytes.is_empty() {
                return Ok(());
            }
            self.stream.send(bytes).await.0?;
        }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }
}

impl Sealed {
    /// Looks at what was received. Answers how many bytes of content are in `buffer`, 0 at the end;
    /// `None` where there is nothing yet.
    fn open(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut connection = self.connection.borrow_mut();
        // What was opened before has to go first: TLS holds only so much.
        if let Some(count) = content(&mut connection, buffer)? {
            return Ok(Some(count));
        }
        let mut unopened = self.unopened.borrow_mut();
        if unopened.is_empty() {
            return Ok(None);
        }
        unopened.looked_at += connection.read_tls(&mut unopened.rest())?;
        connection.process_new_packets().map_err(io::Error::other)?;
        content(&mut connection, buffer)
    }
}

fn content(connection: &mut Connection, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match connection.reader().read(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes that were received and not yet looked at: the first `count`.
#[derive(Default)]
struct Unopened {
    bytes: Vec<u8>,
    count: usize,
    looked_at: usize,
}

impl Unopened {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.looked_at..self.count]
    }

    fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }
}
