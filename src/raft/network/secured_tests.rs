//! Connections under certificates: whom a node lets in, and what it says of files that are no use.

use bytes::Bytes;
use futures::future::join_all;

use super::tests::{Node, options, stop, until};
use super::*;
use crate::raft::GroupOptions;
use crate::rt::net::run_test;

/// An authority, and what it vouches for.
struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let issuer = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Authority { issuer, folder }
    }

    fn certificates(&self, host: &str) -> PeerCertificates {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![host.to_string()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |name: &str, text: String| {
            let path = self.folder.path().join(format!("{host}-{name}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        PeerCertificates {
            certificate: write("certificate.pem", certificate.pem()),
            key: write("key.pem", key.serialize_pem()),
            authorities: write("authorities.pem", self.issuer.pem()),
        }
    }
}

async fn listen_secured(node_id: u64, certificates: Option<PeerCertificates>) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let transport = Transport::listen(TransportOptions {
        certificates,
        ..options(node_id, b"s", folder.path())
    });
    Node::over(
        GroupOptions::single(node_id, "127.0.0.1:1"),
        transport.await.unwrap(),
        folder,
    )
    .await
}

#[test]
fn connections_are_secured_where_there_are_certificates() {
    run_test(async {
        let authority = Authority::new();
        let certificates = || Some(authority.certificates("127.0.0.1"));
        let one = listen_secured(1, certificates()).await;
        let two = listen_secured(2, certificates()).await;
        // Both ways at once, more than TLS and the sockets hold.
        let large = Bytes::from(vec![7; 3_000_000]);
        let calls = (0..4).flat_map(|_| {
            let there = one.transport.call(&two.address(), large.clone());
            [there, two.transport.call(&one.address(), large.clone())]
        });
        let calls: Vec<_> = calls.collect();
        for (answer, from) in join_all(calls)
            .await
            .into_iter()
            .zip(["1: ", "2: "].repeat(4))
        {
            assert!(answer.unwrap() == [from.as_bytes(), &large].concat());
        }
        assert_eq!(one.transport.counters().strangers_dropped, 0);

        // Nothing in the clear, nobody that another authority vouches for, no other host's name.
        let clear = listen_secured(3, None).await;
        let other = listen_secured(4, Some(Authority::new().certificates("127.0.0.1"))).await;
        let elsewhere = listen_secured(5, Some(authority.certificates("127.0.0.2"))).await;
        for stranger in [&clear, &other] {
            let call = stranger.transport.call(&two.address(), "a".into()).await;
            assert!(matches!(call, Err(CallError::NotSent(_))), "{call:?}");
        }
        until(|| two.transport.counters().strangers_dropped == 2).await;
        for stranger in [&clear, &other, &elsewhere] {
            let call = one.transport.call(&stranger.address(), "a".into()).await;
            assert!(matches!(call, Err(CallError::NotSent(_))), "{call:?}");
            assert!(stranger.echo.asked.borrow().is_empty());
        }
        let known = elsewhere.transport.call(&two.address(), "a".into()).await;
        assert_eq!(known, Ok("5: a".into()));
        stop([one, two, clear, other, elsewhere]).await;
    });
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    run_test(async {
        let authority = Authority::new();
        let good = authority.certificates("127.0.0.1");
        let mut bad = good.clone();
        bad.key = authority.certificates("127.0.0.2").key;
        let mut missing = good.clone();
        missing.authorities = "/nowhere/ca.pem".into();
        let mut empty = good;
        empty.authorities = empty.key.clone();
        for (files, part) in [
            (bad, "certificate.pem"),
            (missing, "/nowhere/ca.pem"),
            (empty, "key.pem"),
        ] {
            let options = TransportOptions {
                certificates: Some(files),
                ..options(1, b"", authority.folder.path())
            };
            let error = Transport::listen(options).await.err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
    });
}
