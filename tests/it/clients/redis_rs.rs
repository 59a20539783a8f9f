//! The crate `redis`.

use std::collections::{HashMap, HashSet};

use redis::Commands;

use crate::kit::on_each;

#[test]
fn redis_rs() {
    on_each(|server| {
        let mut r = server.redis();
        let _: () = r.set("a", 1).unwrap();
        assert_eq!(r.get::<_, i64>("a").unwrap(), 1);
        assert_eq!(r.get::<_, Option<String>>("missing").unwrap(), None);
        assert_eq!(r.incr::<_, _, i64>("a", 41).unwrap(), 42);
        let _: () = r.hset_multiple("h", &[("f", "1"), ("g", "2")]).unwrap();
        let all: HashMap<String, i64> = r.hgetall("h").unwrap();
        assert_eq!(all, HashMap::from([("f".into(), 1), ("g".into(), 2)]));
        let _: () = r.rpush("l", &[1, 2, 3]).unwrap();
        assert_eq!(r.lrange::<_, Vec<i64>>("l", 0, -1).unwrap(), [1, 2, 3]);
        let _: () = r.sadd("s", &["x", "y"]).unwrap();
        let members: HashSet<String> = r.smembers("s").unwrap();
        assert_eq!(members.len(), 2);
        let _: () = r.zadd("z", "m", 1.5).unwrap();
        assert_eq!(r.zscore::<_, _, f64>("z", "m").unwrap(), 1.5);
        let error = r.incr::<_, _, i64>("l", 1).unwrap_err();
        assert_eq!(error.code(), Some("WRONGTYPE"));

        let mut pipe = redis::pipe();
        for number in 0..5000 {
            pipe.set(format!("p:{}", number % 100), number).ignore();
            pipe.get(format!("p:{}", number % 100));
        }
        let read: Vec<i64> = pipe.query(&mut r).unwrap();
        assert_eq!(read, (0..5000).collect::<Vec<i64>>());

        let mut atomic = redis::pipe();
        atomic.atomic().set("t", 1).ignore().incr("t", 1).get("t");
        assert_eq!(atomic.query::<(i64, i64)>(&mut r).unwrap(), (2, 2));

        let mut seen: HashSet<String> = HashSet::new();
        for key in r.scan_match::<_, String>("p:*").unwrap() {
            seen.insert(key.unwrap());
        }
        assert_eq!(seen.len(), 100);
    });
}

#[test]
fn redis_rs_optimistic_transactions() {
    on_each(|server| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut r = server.redis();
                    for _ in 0..50 {
                        let key = "count";
                        loop {
                            let _: () = redis::cmd("WATCH").arg(key).query(&mut r).unwrap();
                            let value: i64 = r.get::<_, Option<i64>>(key).unwrap().unwrap_or(0);
                            let mut pipe = redis::pipe();
                            pipe.atomic().set(key, value + 1).ignore().get(key);
                            let done: Option<(i64,)> = pipe.query(&mut r).unwrap();
                            if let Some((now,)) = done {
                                assert_eq!(now, value + 1);
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(server.redis().get::<_, i64>("count").unwrap(), 200);
    });
}
