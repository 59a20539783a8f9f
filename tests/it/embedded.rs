//! A cluster of a server and of a node inside an application, which this test is.

use quorate::{Consistency, Node, Reply};

use crate::kit::{Server, bulk, eventually, free_port, ok};

#[test]
fn an_application_and_a_server_are_one_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}@{}", free_port(), free_port());
    let node = Node::builder()
        .dir(folder.path())
        .address(&address)
        .secret("s3")
        .start()
        .unwrap();
    node.ready().wait().unwrap();
    assert!(node.execute(["SET", "a", "1"]).wait().unwrap().is_ok());
    let server = Server::start(2, &["--join", &address, "--cluster-secret", "s3"]);
    let voters = || {
        let members = node.cluster().members;
        members.iter().filter(|member| member.voter).count()
    };
    eventually("the server has a vote", || voters() == 2);
    let mut wire = server.wire();
    assert_eq!(wire.run("GET a"), bulk("1"));
    assert_eq!(wire.run("SET a 2"), ok());
    let read = node.execute(["GET", "a"]).at(Consistency::Linearizable);
    assert_eq!(read.wait(), Ok(Reply::Bytes("2".into())));
    // The server leads from now on, and the application goes on through it.
    let members = node.cluster();
    let other = members.members.iter().find(|one| one.id != members.node_id);
    let other = other.unwrap().id.to_string();
    let moved = node.execute(["RAFT", "TRANSFER", &other]).wait();
    assert!(moved.is_ok(), "{moved:?}");
    eventually("the server leads", || !node.is_leader());
    assert!(node.execute(["SET", "a", "3"]).wait().unwrap().is_ok());
    assert_eq!(wire.run("GET a"), bulk("3"));
}
