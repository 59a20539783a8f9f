//! Replies of `COMMAND` as bytes, compared with what Redis 7 sends for the same table entry.

use super::*;
use crate::command::resolve::tests::request;
use crate::resp::{Protocol, encode};

fn bytes(line: &str, protocol: Protocol) -> String {
    let reply = request(line, |args| command(args).unwrap_or_else(Reply::from));
    let mut out = Vec::new();
    encode(&reply, protocol, &mut out);
    String::from_utf8(out).unwrap().replace("\r\n", " ")
}

const SET_3: &str = "*1 *10 $3 set :-3 ~2 +write +denyoom :1 :1 :1 ~3 +@write +@string +@slow ~0 \
    ~1 %3 $5 flags ~4 +RW +access +update +variable_flags \
    $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 \
    $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 ~0 ";

const MGET_2: &str = "*2 *10 $4 mget :-2 *2 +readonly +fast :1 :-1 :1 *3 +@read +@string +@fast *0 \
    *1 *6 $5 flags *2 +RO +access \
    $12 begin_search *4 $4 type $5 index $4 spec *2 $5 index :1 \
    $9 find_keys *4 $4 type $5 range $4 spec *6 $7 lastkey :-1 $7 keystep :1 $5 limit :0 *0 *-1 ";

#[test]
fn info_has_redis_shape() {
    assert_eq!(bytes("command info SET", Protocol::Resp3), SET_3);
    assert_eq!(bytes("command info mget nosuch", Protocol::Resp2), MGET_2);
    assert_eq!(
        bytes("command info config|get", Protocol::Resp3),
        "*1 *10 $10 config|get :-3 ~4 +admin +noscript +loading +stale :0 :0 :0 \
         ~3 +@admin +@slow +@dangerous ~0 ~0 ~0 "
    );
    assert!(bytes("command info config", Protocol::Resp3).contains("~0 ~0 *5 *10 $10 config|get"));
    assert!(bytes("command info with", Protocol::Resp3).contains("+movablekeys"));
    let all = format!("*{} ", public().count());
    assert!(bytes("command", Protocol::Resp2).starts_with(&all));
    assert_eq!(
        bytes("command", Protocol::Resp3),
        bytes("command info", Protocol::Resp3)
    );
    assert_eq!(
        bytes("command count", Protocol::Resp2),
        format!(":{} ", public().count())
    );
}

#[test]
fn docs_has_redis_shape() {
    assert_eq!(bytes("command docs nosuch", Protocol::Resp3), "%0 ");
    assert_eq!(
        bytes("command docs ping", Protocol::Resp3),
        "%1 $4 ping %4 $7 summary $41 Returns the server's liveliness response. \
         $5 since $5 1.0.0 $5 group $10 connection $10 complexity $4 O(1) "
    );
    let slowlog = bytes("command docs slowlog", Protocol::Resp2);
    assert!(
        slowlog.starts_with("*2 $7 slowlog *10 $7 summary"),
        "{slowlog}"
    );
    assert!(
        slowlog.contains("$11 subcommands *8 $11 slowlog|get *8 $7 summary"),
        "{slowlog}"
    );
}

#[test]
fn list_filters() {
    let names = |line: &str| -> Vec<String> {
        let out = bytes(line, Protocol::Resp2);
        out.split(' ')
            .filter(|w| w.starts_with(|c: char| c.is_lowercase()))
            .map(String::from)
            .collect()
    };
    assert_eq!(
        names("command list filterby pattern CONFIG*"),
        [
            "config",
            "config|get",
            "config|set",
            "config|resetstat",
            "config|rewrite",
            "config|help"
        ]
    );
    assert_eq!(
        names("command list filterby aclcat transaction"),
        ["multi", "exec", "discard", "watch", "unwatch"]
    );
    assert_eq!(
        bytes("command list filterby module x", Protocol::Resp2),
        "*0 "
    );
    assert_eq!(
        bytes("command list filterby aclcat nosuch", Protocol::Resp2),
        "*0 "
    );
    assert_eq!(
        bytes("command list filterby foo bar", Protocol::Resp2),
        "-ERR syntax error "
    );
    assert!(names("command list").len() > public().count());
}

#[test]
fn keys_of_requests() {
    for (line, expected) in [
        ("getkeys get a", "*1 $1 a "),
        ("getkeys mset a 1 b 2", "*2 $1 a $1 b "),
        ("getkeys memory usage k", "*1 $1 k "),
        ("getkeys with durability low set k v", "*1 $1 k "),
        ("getkeys foo a", "-ERR Invalid command specified "),
        ("getkeys config foo a", "-ERR Invalid command specified "),
        (
            "getkeys config get a",
            "-ERR The command has no key arguments ",
        ),
        (
            "getkeys ping a b c",
            "-ERR The command has no key arguments ",
        ),
        (
            "getkeys set a",
            "-ERR Invalid number of arguments specified for command ",
        ),
        (
            "getkeys with durability nosuch get k",
            "-ERR Invalid arguments specified for command ",
        ),
        ("getkeysandflags set a b", "*1 *2 $1 a ~2 +OW +update "),
        (
            "getkeysandflags set a b get",
            "*1 *2 $1 a ~3 +RW +access +update ",
        ),
        (
            "getkeysandflags del a b",
            "*2 *2 $1 a ~2 +RM +delete *2 $1 b ~2 +RM +delete ",
        ),
    ] {
        assert_eq!(
            bytes(&format!("command {line}"), Protocol::Resp3),
            expected,
            "{line}"
        );
    }
}
