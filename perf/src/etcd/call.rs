//! Unary gRPC calls over HTTP/2, many at a time on one connection.

use std::fmt::Display;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use prost::Message;
use tokio::net::TcpStream;

/// A message's compression flag and length, ahead of it.
const HEAD_BYTES: usize = 5;
/// More than all calls in flight may answer: no call waits for flow control.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// One HTTP/2 connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
}

/// One method of a service on a connection.
#[derive(Clone)]
pub struct Endpoint {
    requests: SendRequest<Bytes>,
    uri: Uri,
    headers: HeaderMap,
}

impl Connection {
    /// Connects and greets; a task of the current [`tokio::task::LocalSet`] drives the connection.
    ///
    /// # Errors
    /// When the server refuses, or does not speak HTTP/2.
    pub async fn open(address: SocketAddr) -> Result<Self, String> {
        let failed = |error: &dyn Display| format!("connecting to {address}: {error}");
        let socket = TcpStream::connect(address)
            .await
            .map_err(|error| failed(&error))?;
        socket.set_nodelay(true).map_err(|error| failed(&error))?;
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .enable_push(false)
            .handshake(socket)
            .await
            .map_err(|error| failed(&error))?;
        // A broken connection shows in the calls on it.
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Self { requests, address })
    }

    /// The method at `path`, such as `/etcdserverpb.KV/Put`.
    ///
    /// # Errors
    /// When `path` is no path.
    pub fn endpoint(&self, path: &str) -> Result<Endpoint, String> {
        let uri = format!("http://{}{path}", self.address);
        let fixed = [("content-type", "application/grpc"), ("te", "trailers")];
        Ok(Endpoint {
            requests: self.requests.clone(),
            uri: uri.parse().map_err(|error| format!("{uri}: {error}"))?,
            headers: fixed
                .into_iter()
                .map(|(name, value)| {
                    let name = http::HeaderName::from_static(name);
                    (name, HeaderValue::from_static(value))
                })
                .collect(),
        })
    }
}

impl Endpoint {
    /// Calls with `message` and reads the answer.
    ///
    /// # Errors
    /// A broken connection, any gRPC status but 0, or an answer that is none.
    pub async fn call<Answer: Message + Default>(
        &mut self,
        message: &impl Message,
    ) -> Result<Answer, String> {
        self.exchange(frame(message))
            .await
            .map_err(|error| format!("{}: {error}", self.uri.path()))
    }

    async fn exchange<Answer: Message + Default>(
        &mut self,
        message: Bytes,
    ) -> Result<Answer, String> {
        std::future::poll_fn(|context| self.requests.poll_ready(context))
            .await
            .map_err(|error| error.to_string())?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let (response, mut body) = self
            .requests
            .send_request(request, false)
            .map_err(|error| error.to_string())?;
        body.send_data(message, true)
            .map_err(|error| error.to_string())?;
        let (head, mut body) = response
            .await
            .map_err(|error| error.to_string())?
            .into_parts();
        if !head.status.is_success() {
            return Err(format!("HTTP status {}", head.status));
        }
        let answer = read(&mut body).await?;
        let trailers = body.trailers().await.map_err(|error| error.to_string())?;
        // An error without an answer has its status in the head.
        check_status(trailers.as_ref().unwrap_or(&head.headers))?;
        unframe(&answer)
    }
}

async fn read(body: &mut RecvStream) -> Result<Bytes, String> {
    let mut whole = Bytes::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(|error| error.to_string())?;
        body.flow_control()
            .release_capacity(part.len())
            .map_err(|error| error.to_string())?;
        // As a rule there is one part.
        whole = match whole.is_empty() {
            true => part,
            false => [whole, part].concat().into(),
        };
    }
    Ok(whole)
}

fn check_status(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| {
        let value = headers.get(name).map(HeaderValue::as_bytes);
        value.map(|value| value.escape_ascii().to_string())
    };
    match text("grpc-status") {
        Some(status) if status == "0" => Ok(()),
        status => Err(format!(
            "gRPC status {}: {}",
            status.as_deref().unwrap_or("missing"),
            text("grpc-message").unwrap_or_default()
        )),
    }
}

/// `message` behind its head.
pub(super) fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(HEAD_BYTES + length);
    framed.put_u8(0);
    framed.put_u32(length as u32);
    message
        .encode(&mut framed)
        .expect("there is room: the length was asked for");
    framed.freeze()
}

fn unframe<Answer: Message + Default>(mut framed: &[u8]) -> Result<Answer, String> {
    let whole = framed.len();
    if whole < HEAD_BYTES || framed.get_u8() != 0 || framed.get_u32() as usize != framed.len() {
        return Err(format!("{whole} bytes that are not one plain message"));
    }
    Answer::decode(framed).map_err(|error| error.to_string())
}
