//! The client against a server of the other half of the same HTTP/2 library.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::call::frame;
use super::messages::{KeyValue, PutResponse, RangeResponse, ResponseHeader};
use super::{Command, Plan, load};
use crate::command::value_of;

/// Answers every call with `answer` and `status`; without `answer`, the status alone.
async fn serve(listener: TcpListener, answer: Option<Bytes>, status: &'static str) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let answer = answer.clone();
        tokio::task::spawn_local(async move {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse().unwrap());
                let mut response = Response::new(());
                let Some(answer) = answer.clone() else {
                    *response.headers_mut() = trailers;
                    respond.send_response(response, true).unwrap();
                    continue;
                };
                let mut body = respond.send_response(response, false).unwrap();
                body.send_data(answer, false).unwrap();
                body.send_trailers(trailers).unwrap();
            }
        });
    }
}

fn outcome_of(
    command: Command,
    answer: Option<Bytes>,
    status: &'static str,
) -> Result<u64, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::task::spawn_local(serve(listener, answer, status));
        let plan = Plan {
            address,
            connections: 2,
            calls: 5,
            command,
            keys: 1,
            value_bytes: 4,
            warm_up: Duration::from_millis(5),
            window: Duration::from_millis(50),
            server_pids: Vec::new(),
            seed: 1,
        };
        let outcome = load(&plan).await?;
        assert!(command == Command::Preload || outcome.latency.len() <= outcome.replies);
        Ok(outcome.replies)
    })
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision })
}

fn put_answer(revision: i64) -> Option<Bytes> {
    Some(frame(&PutResponse {
        header: header(revision),
    }))
}

fn get_answer(value: Vec<u8>) -> Option<Bytes> {
    let found = KeyValue {
        key: b"key:000000000000".into(),
        value,
    };
    Some(frame(&RangeResponse {
        header: header(7),
        kvs: vec![found],
    }))
}

#[test]
fn right_answers_count() {
    assert!(outcome_of(Command::Put, put_answer(2), "0").unwrap() > 5);
    assert!(outcome_of(Command::Get, get_answer(value_of(0, 4)), "0").unwrap() > 5);
    // One key is one transaction.
    let loaded = outcome_of(Command::Preload, put_answer(2), "0");
    assert_eq!(loaded, Ok(1));
}

#[test]
fn wrong_answers_and_errors_end_the_run() {
    let refused = |command, answer, status, why: &str| {
        let said = outcome_of(command, answer, status).unwrap_err();
        assert!(said.contains(why), "{said}");
    };
    refused(Command::Put, put_answer(0), "0", "without a revision");
    refused(Command::Put, put_answer(2), "14", "gRPC status 14");
    refused(Command::Put, None, "14", "gRPC status 14");
    refused(Command::Get, get_answer(b"else".into()), "0", "found");
    let cut = put_answer(2).map(|whole| whole.slice(..6));
    refused(Command::Put, cut, "0", "not one plain message");
}
