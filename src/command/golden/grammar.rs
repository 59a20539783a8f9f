//! What random commands are made of.

use crate::command::Rng;
use crate::resp::{Args, Span};

/// Commands with the kinds of their arguments: `k` key, `v` value, `n` small number, `i` any
/// number, `f` float, `t` time in s, `p` pattern, `b` 0 or 1; a group in brackets is left out at
/// random; anything else stands for itself.
pub const STRINGS: &[&str] = &[
    "GET k",
    "SET k v",
    "SET k v [NX] [XX] [GET] [KEEPTTL] [EX t] [EXAT 4102444800]",
    "SETNX k v",
    "SETEX k t v",
    "GETSET k v",
    "GETDEL k",
    "GETEX k [EX t] [PERSIST] [PXAT 1]",
    "GETRANGE k n n",
    "SETRANGE k n v",
    "SUBSTR k n n",
    "APPEND k v",
    "STRLEN k",
    "INCR k",
    "DECR k",
    "INCRBY k i",
    "DECRBY k i",
    "INCRBYFLOAT k f",
    "LCS k k [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]",
    "MGET k k k",
    "MSET k v k v",
    "MSETNX k v k v",
    "SET k f",
    "SET k i",
    "SETBIT k o b",
    "GETBIT k o",
    "BITCOUNT k",
    "BITCOUNT k n n [BIT]",
    "BITPOS k b",
    "BITPOS k b n",
    "BITPOS k b n n [BIT]",
    "BITOP AND k k k",
    "BITOP OR k k k k",
    "BITOP XOR k k k",
    "BITOP NOT k k",
    "BITFIELD k [OVERFLOW w] INCRBY u o i SET u o i [OVERFLOW w] INCRBY u o n",
    "BITFIELD_RO k GET u o GET u o",
    "DEL k [k]",
    "UNLINK k",
    "EXISTS k k",
    "TOUCH k k",
    "TYPE k",
    "EXPIRE k t [NX] [XX] [GT] [LT]",
    "PEXPIREAT k 4102444800123 [NX] [GT] [LT]",
    "EXPIREAT k n",
    "EXPIRETIME k",
    "TTL k",
    "PERSIST k",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k [DB b] [REPLACE]",
    "MOVE k b",
    "OBJECT ENCODING k",
    "KEYS p",
    "DBSIZE",
    "SWAPDB b b",
    "SELECT b",
];

/// The other families, on few keys and members. Those that draw at random or whose order is our
/// own are left to the golden scripts.
pub const COLLECTIONS: &[&str] = &[
    "RPUSH k m m m",
    "LPUSH k m [m]",
    "LPUSHX k m",
    "LPOP k [n]",
    "RPOP k",
    "LLEN k",
    "LRANGE k n n",
    "LINDEX k n",
    "LSET k n m",
    "LINSERT k BEFORE m m",
    "LREM k n m",
    "LTRIM k n n",
    "LMOVE k k LEFT RIGHT",
    "RPOPLPUSH k k",
    "LPOS k m [RANK n] [COUNT n]",
    "SADD k m m [m]",
    "SREM k m",
    "SISMEMBER k m",
    "SMISMEMBER k m m",
    "SCARD k",
    "SMEMBERS k",
    "SMOVE k k m",
    "SINTER k k",
    "SUNION k k",
    "SDIFF k k",
    "SINTERSTORE k k k",
    "SUNIONSTORE k k k",
    "SDIFFSTORE k k k",
    "SINTERCARD 2 k k [LIMIT n]",
    "HSET k m v m v",
    "HSETNX k m v",
    "HGET k m",
    "HMGET k m m",
    "HDEL k m [m]",
    "HLEN k",
    "HSTRLEN k m",
    "HEXISTS k m",
    "HINCRBY k m i",
    "HINCRBYFLOAT k m f",
    "HKEYS k",
    "HGETALL k",
    "ZADD k s m s m",
    "ZADD k [NX] [XX] [GT] [LT] [CH] s m",
    "ZADD k [INCR] s m",
    "ZINCRBY k s m",
    "ZREM k m",
    "ZSCORE k m",
    "ZMSCORE k m m",
    "ZCARD k",
    "ZRANK k m",
    "ZREVRANK k m",
    "ZRANGE k n n [REV] [WITHSCORES]",
    "ZRANGE k r r BYSCORE [LIMIT n n] [WITHSCORES]",
    "ZREVRANGE k n n",
    "ZRANGEBYSCORE k r r [WITHSCORES] [LIMIT n n]",
    "ZREVRANGEBYSCORE k r r",
    "ZADD lex 0 m 0 m",
    "ZRANGEBYLEX lex l l",
    "ZLEXCOUNT lex l l",
    "ZCOUNT k r r",
    "ZPOPMIN k [n]",
    "ZPOPMAX k",
    "ZREMRANGEBYRANK k n n",
    "ZREMRANGEBYSCORE k r r",
    "ZREMRANGEBYLEX lex l l",
    "ZRANGESTORE k k n n",
    "ZUNIONSTORE k 2 k k [WEIGHTS s s] [AGGREGATE MAX]",
    "ZINTERSTORE k 2 k k [AGGREGATE MIN]",
    "ZDIFFSTORE k 2 k k",
    "ZUNION 2 k k WITHSCORES",
    "ZINTER 2 k k WITHSCORES",
    "ZDIFF 2 k k WITHSCORES",
    "ZINTERCARD 2 k k [LIMIT n]",
    "DEL k",
    "DEL k k",
    "TYPE k",
    "EXISTS k",
    "RENAME k k",
    "COPY k k REPLACE",
    "SET k v",
    "GET k",
    "APPEND k v",
    "STRLEN k",
    "INCR k",
    "GETBIT k n",
    "GETDEL k",
    "OBJECT ENCODING k",
];

/// SORT by itself: it changes how Redis keeps a sorted set.
pub const SORTS: &[&str] = &[
    "RPUSH k m m m",
    "RPUSH k i i i",
    "SADD k m m m",
    "SADD k i i i",
    "ZADD k s m s i",
    "MSET k i k f",
    "HSET k a i b i",
    "LRANGE k 0 -1",
    "DEL k k",
    "SORT k [DESC] [ALPHA] [LIMIT n n]",
    "SORT k [DESC] [ALPHA] [LIMIT n n] STORE k",
    "SORT k BY * [DESC] GET # GET *",
    "SORT k BY *->a GET *->b GET a*",
    "SORT_RO k ALPHA [DESC] [LIMIT n n]",
];

pub fn pick<'a>(rng: &mut Rng, items: &[&'a str]) -> &'a str {
    items[rng.below(items.len())]
}

fn argument(rng: &mut Rng, kind: &str) -> String {
    match kind {
        "k" => pick(rng, &["a", "b", "c", "ab", "abc"]).into(),
        "v" => match rng.below(4) {
            0 => (rng.number() as i64 >> rng.below(64)).to_string(),
            1 => "ab".repeat(rng.below(30)),
            2 => "".into(),
            _ => pick(rng, &["x", "hello", "01", " 1", "-0", "1.5", "3.0e3"]).into(),
        },
        "n" => (rng.below(41) as i64 - 20).to_string(),
        "i" => (rng.number() as i64 >> rng.below(64)).to_string(),
        "f" => {
            let number = rng.number() as i64 >> rng.below(64);
            let scale = rng.below(12);
            match rng.below(4) {
                0 => format!("{number}.{}", rng.number() >> rng.below(64)),
                1 => format!("{}e-{scale}", number % 1_000_000),
                2 => format!("{}e{}", number % 1000, scale * 3),
                _ => format!("0.{}", rng.below(100)),
            }
        }
        // Hardly ever the same twice: which of two is later would depend on the time between them.
        "t" if rng.below(4) > 0 => (100 + rng.below(1_000_000)).to_string(),
        "t" => pick(rng, &["0", "-1", "x"]).into(),
        "o" => (rng.below(200) as i64 - 3).to_string(),
        "u" => format!("{}{}", pick(rng, &["i", "u"]), rng.below(65)),
        "w" => pick(rng, &["WRAP", "SAT", "FAIL"]).into(),
        "b" => rng.below(2).to_string(),
        "m" => pick(
            rng,
            &[
                "a",
                "b",
                "c",
                "d",
                "12",
                "-3",
                "1.5",
                "",
                "longer-than-an-inline-text-member",
            ],
        )
        .into(),
        "s" => pick(
            rng,
            &[
                "0", "1", "2", "3", "-1", "1.5", "0.1", "inf", "-inf", "1e20", "x",
            ],
        )
        .into(),
        "r" => pick(
            rng,
            &[
                "0", "1", "(1", "2", "3", "(-inf", "-inf", "+inf", "inf", "(2.5", "x",
            ],
        )
        .into(),
        "l" => pick(rng, &["-", "+", "[a", "(a", "[b", "(c", "[", "b"]).into(),
        "p" => {
            let parts = [
                "*", "?", "a", "b", "c", "[a-b]", "[^a]", "[c-a]", "\\a", "[b", "[",
            ];
            (0..1 + rng.below(4)).map(|_| pick(rng, &parts)).collect()
        }
        other => other.into(),
    }
}

/// A command's words.
pub fn draw(rng: &mut Rng, commands: &[&str]) -> Vec<String> {
    draw_with(rng, commands, argument)
}

/// The same with other kinds of arguments.
pub fn draw_with(
    rng: &mut Rng,
    commands: &[&str],
    argument: impl Fn(&mut Rng, &str) -> String,
) -> Vec<String> {
    let template = pick(rng, commands);
    let mut words = Vec::new();
    let mut is_left_out = false;
    for part in template.split(' ') {
        if part.starts_with('[') {
            is_left_out = rng.below(4) > 0;
        }
        if !is_left_out {
            let kind = part.trim_start_matches('[').trim_end_matches(']');
            words.push(argument(rng, kind));
        }
        if part.ends_with(']') {
            is_left_out = false;
        }
    }
    words
}

/// The words as a request's arguments.
pub fn with_args<W: AsRef<[u8]>, R>(words: &[W], run: impl FnOnce(Args<'_>) -> R) -> R {
    let (mut buffer, mut spans) = (Vec::new(), Vec::new());
    for word in words {
        let start = buffer.len() as u32;
        buffer.extend_from_slice(word.as_ref());
        let end = buffer.len() as u32;
        spans.push(Span { start, end });
    }
    run(Args::new(&buffer, &spans))
}
