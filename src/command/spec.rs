//! What the table says of a command.

use crate::resp::{Args, Error, Reply};

use super::context::Context;

/// What a handler answers: a reply that may borrow from the keyspace, or the command's own error.
pub type Outcome<'k> = Result<Reply<'k>, Error>;

/// A command's action on the keyspace.
pub type Handler = for<'k, 'c> fn(&'k mut Context<'c>, Args<'_>) -> Outcome<'k>;

/// Where a command is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// By the core that holds the connection, from the session or the node (`node/`).
    Session,
    /// By the shards of its keys, without a mutation.
    Read,
    /// Through the log, applied by the shards of its keys.
    Write,
    /// By every shard at one position of the log, as a read; the replies are combined.
    ReadAll(Combine),
    /// Through the log, applied by every shard; the replies are combined.
    WriteAll(Combine),
}

/// How the replies of all shards become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Integers are added.
    Sum,
    /// Arrays are joined.
    Concat,
    /// All are the same.
    First,
    /// One that is not null, drawn at random.
    Pick,
    /// Digests are added and shown.
    Digest,
    /// Only the shard that the cursor (argument 1) names is asked.
    Cursor,
}

/// Which arguments are keys. Positions count the command's name as 0.
#[derive(Debug, Clone, Copy)]
pub enum Keys {
    None,
    /// From `first` to `last` (negative: from the end, -1 the last) every `step`.
    Range {
        first: i32,
        last: i32,
        step: i32,
    },
    /// A count of keys at `at`, the keys behind it; `first` is a further key before them (the
    /// destination), or 0.
    Counted {
        at: usize,
        first: usize,
    },
    /// As the function says: it appends the positions of the keys.
    Custom(fn(Args<'_>, &mut Vec<usize>)),
}

impl Keys {
    /// Keys from argument 1 to `last` every `step`.
    pub const fn from_first(last: i32, step: i32) -> Keys {
        Keys::Range {
            first: 1,
            last,
            step,
        }
    }
}

/// The arguments a command takes, its name counted: exactly `n`, or at least `-n`. As Redis.
pub type Arity = i32;

/// Redis' groups of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    PubSub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Geo,
    Stream,
    Bitmap,
}

/// A set of Redis' command flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    pub const NONE: Flags = Flags(0);
    pub const WRITE: Flags = Flags(1);
    pub const READONLY: Flags = Flags(1 << 1);
    pub const DENYOOM: Flags = Flags(1 << 2);
    pub const ADMIN: Flags = Flags(1 << 3);
    pub const PUBSUB: Flags = Flags(1 << 4);
    pub const NOSCRIPT: Flags = Flags(1 << 5);
    pub const BLOCKING: Flags = Flags(1 << 6);
    pub const LOADING: Flags = Flags(1 << 7);
    pub const STALE: Flags = Flags(1 << 8);
    pub const SKIP_MONITOR: Flags = Flags(1 << 9);
    pub const ASKING: Flags = Flags(1 << 10);
    pub const FAST: Flags = Flags(1 << 11);
    pub const NO_AUTH: Flags = Flags(1 << 12);
    pub const NO_MULTI: Flags = Flags(1 << 13);
    pub const MOVABLE_KEYS: Flags = Flags(1 << 14);
    pub const ALLOW_BUSY: Flags = Flags(1 << 15);

    /// Names in the order of the bits, as `COMMAND INFO` gives them.
    pub const NAMES: [&'static str; 16] = [
        "write",
        "readonly",
        "denyoom",
        "admin",
        "pubsub",
        "noscript",
        "blocking",
        "loading",
        "stale",
        "skip_monitor",
        "asking",
        "fast",
        "no_auth",
        "no_multi",
        "movablekeys",
        "allow_busy",
    ];

    /// Reads and writes as the families combine them; `GROW` are writes that may take memory.
    pub const READ: Flags = Flags::READONLY;
    pub const READ_FAST: Flags = Flags::READ.or(Flags::FAST);
    pub const WRITE_FAST: Flags = Flags::WRITE.or(Flags::FAST);
    pub const GROW: Flags = Flags::WRITE.or(Flags::DENYOOM);
    pub const GROW_FAST: Flags = Flags::GROW.or(Flags::FAST);

    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    #[inline]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A set of Redis' ACL categories. Those that follow from flags (`@read`, `@write`, `@fast`,
/// `@slow`, `@admin`, `@dangerous` with admin) and from the group are added by
/// [`Spec::categories`]; to a container its group gives none, as in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Category(pub u32);

impl Category {
    pub const NONE: Category = Category(0);
    pub const KEYSPACE: Category = Category(1);
    pub const READ: Category = Category(1 << 1);
    pub const WRITE: Category = Category(1 << 2);
    pub const SET: Category = Category(1 << 3);
    pub const SORTEDSET: Category = Category(1 << 4);
    pub const LIST: Category = Category(1 << 5);
    pub const HASH: Category = Category(1 << 6);
    pub const STRING: Category = Category(1 << 7);
    pub const BITMAP: Category = Category(1 << 8);
    pub const HYPERLOGLOG: Category = Category(1 << 9);
    pub const GEO: Category = Category(1 << 10);
    pub const STREAM: Category = Category(1 << 11);
    pub const PUBSUB: Category = Category(1 << 12);
    pub const ADMIN: Category = Category(1 << 13);
    pub const FAST: Category = Category(1 << 14);
    pub const SLOW: Category = Category(1 << 15);
    pub const BLOCKING: Category = Category(1 << 16);
    pub const DANGEROUS: Category = Category(1 << 17);
    pub const CONNECTION: Category = Category(1 << 18);
    pub const TRANSACTION: Category = Category(1 << 19);
    pub const SCRIPTING: Category = Category(1 << 20);

    /// Whether it names a type of data.
    const fn has_type(self) -> bool {
        let types = Category::SET.0 | Category::SORTEDSET.0 | Category::LIST.0 | Category::HASH.0;
        self.0 & types != 0
    }

    /// Names in the order of the bits, as `COMMAND INFO` gives them.
    pub const NAMES: [&'static str; 21] = [
        "@keyspace",
        "@read",
        "@write",
        "@set",
        "@sortedset",
        "@list",
        "@hash",
        "@string",
        "@bitmap",
        "@hyperloglog",
        "@geo",
        "@stream",
        "@pubsub",
        "@admin",
        "@fast",
        "@slow",
        "@blocking",
        "@dangerous",
        "@connection",
        "@transaction",
        "@scripting",
    ];
}

/// What a command is.
#[derive(Debug)]
pub struct Spec {
    /// Number in the log. Unique and never reused; see the ranges in `table.rs`.
    pub id: u16,
    /// Lower case.
    pub name: &'static str,
    pub arity: Arity,
    pub flags: Flags,
    pub keys: Keys,
    /// Categories beyond those that flags and group imply.
    pub category: Category,
    pub group: Group,
    pub route: Route,
    /// `None` for what the node answers itself.
    pub handler: Option<Handler>,
    pub since: &'static str,
    pub complexity: &'static str,
    pub summary: &'static str,
    pub subcommands: &'static [Spec],
}

impl Spec {
    /// A command of a family on the key at argument 1, read or written as `flags` say. What else
    /// it is, its handler first of all, is for the family to fill in.
    pub const fn on_key(
        group: Group,
        id: u16,
        name: &'static str,
        arity: Arity,
        flags: Flags,
    ) -> Spec {
        Spec {
            id,
            name,
            arity,
            flags,
            keys: Keys::from_first(1, 1),
            category: Category::NONE,
            group,
            route: if flags.has(Flags::WRITE) {
                Route::Write
            } else {
                Route::Read
            },
            handler: None,
            since: "1.0.0",
            complexity: "O(1)",
            summary: "",
            subcommands: &[],
        }
    }

    /// Whether `count` arguments, the name included, are right.
    #[inline]
    pub fn accepts(&self, count: usize) -> bool {
        if self.arity >= 0 {
            count == self.arity as usize
        } else {
            count >= -self.arity as usize
        }
    }

    /// Calls `each` with the position of every key, in order. Fewer where the arguments are not
    /// what the command wants: its handler will say so.
    pub fn each_key(&self, args: Args<'_>, mut each: impl FnMut(usize)) {
        match self.keys {
            Keys::None => {}
            Keys::Range { first, last, step } => {
                let end = if last < 0 {
                    args.len() as i32 + last
                } else {
                    last
                };
                let mut at = first;
                while at <= end && (at as usize) < args.len() {
                    each(at as usize);
                    at += step;
                }
            }
            Keys::Counted { at, first } => {
                if first != 0 && first < args.len() {
                    each(first);
                }
                let count = args.at(at).and_then(crate::resp::parse_int).unwrap_or(0);
                let end = (at + 1)
                    .saturating_add(count.max(0) as usize)
                    .min(args.len());
                (at + 1..end).for_each(each);
            }
            Keys::Custom(positions) => {
                let mut found = Vec::new();
                positions(args, &mut found);
                found.into_iter().for_each(each);
            }
        }
    }

    /// Whether the only key is argument 1: the case that routing need not look twice at.
    #[inline]
    pub fn is_single_key(&self) -> bool {
        matches!(
            self.keys,
            Keys::Range {
                first: 1,
                last: 1,
                ..
            }
        )
    }

    /// Whether the command takes the same short time whatever it is given.
    #[inline]
    pub fn is_constant_time(&self) -> bool {
        self.flags.has(Flags::FAST) || self.complexity == "O(1)"
    }

    /// All ACL categories of the command.
    pub fn categories(&self) -> Category {
        let mut bits = self.category.0;
        let mut add = |yes: bool, category: Category| {
            if yes {
                bits |= category.0;
            }
        };
        add(self.flags.has(Flags::WRITE), Category::WRITE);
        add(
            self.flags.has(Flags::READONLY) && self.group != Group::Scripting,
            Category::READ,
        );
        add(self.flags.has(Flags::ADMIN), Category::ADMIN);
        add(self.flags.has(Flags::ADMIN), Category::DANGEROUS);
        add(self.flags.has(Flags::PUBSUB), Category::PUBSUB);
        add(self.flags.has(Flags::FAST), Category::FAST);
        add(!self.flags.has(Flags::FAST), Category::SLOW);
        add(self.flags.has(Flags::BLOCKING), Category::BLOCKING);
        let of_group = match self.group {
            _ if !self.subcommands.is_empty() => Category::NONE,
            // Of the generic ones only those on keys are (`WAIT` is not).
            Group::Generic if self.route == Route::Session => Category::NONE,
            // A generic command on certain types (SORT) belongs to those alone.
            Group::Generic if self.category.has_type() => Category::NONE,
            Group::Generic => Category::KEYSPACE,
            Group::String => Category::STRING,
            Group::List => Category::LIST,
            Group::Set => Category::SET,
            Group::SortedSet => Category::SORTEDSET,
            Group::Hash => Category::HASH,
            Group::PubSub => Category::PUBSUB,
            Group::Transactions => Category::TRANSACTION,
            Group::Connection => Category::CONNECTION,
            Group::Scripting => Category::SCRIPTING,
            Group::HyperLogLog => Category::HYPERLOGLOG,
            Group::Geo => Category::GEO,
            Group::Stream => Category::STREAM,
            Group::Bitmap => Category::BITMAP,
            Group::Server | Group::Cluster => Category::NONE,
        };
        Category(bits | of_group.0)
    }
}
