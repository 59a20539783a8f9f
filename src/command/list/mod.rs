//! List commands that do not block: at the ends (`ends`), and in between (`within`).

mod ends;
mod within;

use super::spec::{Flags, Group, Keys, Spec};

const TWO_KEYS: Keys = Keys::from_first(2, 1);

/// A command on the key at 1; the fields that differ are given.
const fn spec(id: u16, name: &'static str, arity: i32, flags: Flags) -> Spec {
    Spec::on_key(Group::List, id, name, arity, flags)
}

pub(super) const SPECS: &[Spec] = &[
    Spec {
        handler: Some(ends::lpush),
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        summary: "Prepends one or more elements to a list. Creates the key if it doesn't exist.",
        ..spec(100, "lpush", -3, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(ends::rpush),
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        summary: "Appends one or more elements to a list. Creates the key if it doesn't exist.",
        ..spec(101, "rpush", -3, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(ends::lpushx),
        since: "2.2.0",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        summary: "Prepends one or more elements to a list only when the list exists.",
        ..spec(102, "lpushx", -3, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(ends::rpushx),
        since: "2.2.0",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        summary: "Appends an element to a list only when the list exists.",
        ..spec(103, "rpushx", -3, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(ends::lpop),
        complexity: "O(N) where N is the number of elements returned",
        summary: "Returns the first elements in a list after removing it. Deletes the list if the last element was popped.",
        ..spec(104, "lpop", -2, Flags::WRITE_FAST)
    },
    Spec {
        handler: Some(ends::rpop),
        complexity: "O(N) where N is the number of elements returned",
        summary: "Returns and removes the last elements of a list. Deletes the list if the last element was popped.",
        ..spec(105, "rpop", -2, Flags::WRITE_FAST)
    },
    Spec {
        handler: Some(within::llen),
        summary: "Returns the length of a list.",
        ..spec(106, "llen", 2, Flags::READ_FAST)
    },
    Spec {
        handler: Some(within::lrange),
        complexity: "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the specified range.",
        summary: "Returns a range of elements from a list.",
        ..spec(107, "lrange", 4, Flags::READ)
    },
    Spec {
        handler: Some(within::lindex),
        complexity: "O(N) where N is the number of elements to traverse to get to the element at index. This makes asking for the first or the last element of the list O(1).",
        summary: "Returns an element from a list by its index.",
        ..spec(108, "lindex", 3, Flags::READ)
    },
    Spec {
        handler: Some(within::lset),
        complexity: "O(N) where N is the length of the list. Setting either the first or the last element of the list is O(1).",
        summary: "Sets the value of an element in a list by its index.",
        ..spec(109, "lset", 4, Flags::GROW)
    },
    Spec {
        handler: Some(within::linsert),
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements to traverse before seeing the value pivot. This means that inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere on the right end (tail) is O(N).",
        summary: "Inserts an element before or after another element in a list.",
        ..spec(110, "linsert", 5, Flags::GROW)
    },
    Spec {
        handler: Some(within::lrem),
        complexity: "O(N+M) where N is the length of the list and M is the number of elements removed.",
        summary: "Removes elements from a list. Deletes the list if the last element was removed.",
        ..spec(111, "lrem", 4, Flags::WRITE)
    },
    Spec {
        handler: Some(within::ltrim),
        complexity: "O(N) where N is the number of elements to be removed by the operation.",
        summary: "Removes elements from both ends a list. Deletes the list if all elements were trimmed.",
        ..spec(112, "ltrim", 4, Flags::WRITE)
    },
    Spec {
        handler: Some(within::lpos),
        since: "6.0.6",
        complexity: "O(N) where N is the number of elements in the list, for the average case. When searching for elements near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in constant time.",
        summary: "Returns the index of matching elements in a list.",
        ..spec(113, "lpos", -3, Flags::READ)
    },
    Spec {
        handler: Some(ends::lmove),
        keys: TWO_KEYS,
        since: "6.2.0",
        summary: "Returns an element after popping it from one list and pushing it to another. Deletes the list if the last element was moved.",
        ..spec(114, "lmove", 5, Flags::GROW)
    },
    Spec {
        handler: Some(ends::rpoplpush),
        keys: TWO_KEYS,
        since: "1.2.0",
        summary: "Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last element was popped.",
        ..spec(115, "rpoplpush", 3, Flags::GROW)
    },
    Spec {
        handler: Some(ends::lmpop),
        keys: Keys::Counted { at: 1, first: 0 },
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
        summary: "Returns multiple elements from a list after removing them. Deletes the list if the last element was popped.",
        ..spec(116, "lmpop", -4, Flags::WRITE.or(Flags::MOVABLE_KEYS))
    },
];
