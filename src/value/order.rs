//! Scored members in order: a B+ tree that counts what lies below each node.

use super::Text;
use super::members::raw;

/// Most items of a leaf and children of an inner node. A node below a quarter of that is joined
/// with a neighbour.
const NODE_MAX: usize = 64;
const NODE_MIN: usize = NODE_MAX / 4;

/// A member with its score. The order is by score, then by the member's bytes.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) score: f64,
    pub(super) member: Text,
}

impl Item {
    /// Whether the item comes before (score, member).
    #[inline]
    pub(super) fn is_before(&self, score: f64, member: &[u8]) -> bool {
        self.score < score || (self.score == score && raw(&self.member) < member)
    }
}

/// Items in order. Insertion, removal and rank are O(log n), a range O(log n + its length / 64)
/// plus O(1) an item.
#[derive(Debug, Clone)]
pub(super) struct Order {
    root: Node,
    len: usize,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Vec<Item>),
    Inner(Inner),
}

/// `fences[i]` is not above any item of `children[i + 1]` and above every item of `children[i]`.
#[derive(Debug, Clone)]
struct Inner {
    fences: Vec<Item>,
    children: Vec<Child>,
}

#[derive(Debug, Clone)]
struct Child {
    /// Items below.
    count: usize,
    node: Box<Node>,
}

impl Order {
    pub(super) fn new() -> Self {
        Order {
            root: Node::Leaf(Vec::new()),
            len: 0,
        }
    }

    /// Puts an item in; it is not there yet.
    pub(super) fn insert(&mut self, item: Item) {
        self.len += 1;
        if let Some((fence, right)) = self.root.insert(item) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            self.root = Node::Inner(Inner {
                fences: vec![fence],
                children: vec![Child::new(left), Child::new(right)],
            });
        }
    }

    /// Takes the item at `rank` out.
    pub(super) fn remove_at(&mut self, rank: usize) -> Option<Item> {
        if rank >= self.len {
            return None;
        }
        self.len -= 1;
        let item = self.root.remove_at(rank);
        self.lower();
        item
    }

    /// Takes the item of this score and member out. Answers whether it was there.
    pub(super) fn remove(&mut self, score: f64, member: &[u8]) -> bool {
        let removed = self.root.remove(score, member);
        if removed {
            self.len -= 1;
            self.lower();
        }
        removed
    }

    /// Makes the only child of a root the root.
    fn lower(&mut self) {
        if let Node::Inner(inner) = &mut self.root
            && inner.children.len() == 1
            && let Some(only) = inner.children.pop()
        {
            self.root = *only.node;
        }
    }

    /// How many items from the first on satisfy `before`, which holds for none behind one for
    /// which it does not.
    pub(super) fn partition_point(&self, before: impl Fn(&Item) -> bool) -> usize {
        let mut node = &self.root;
        let mut passed = 0;
        loop {
            match node {
                Node::Leaf(items) => return passed + items.partition_point(&before),
                Node::Inner(inner) => {
                    let at = inner.fences.partition_point(&before);
                    passed += inner.children[..at].iter().map(|c| c.count).sum::<usize>();
                    node = &inner.children[at].node;
                }
            }
        }
    }

    /// The items of the ranks `start..end`.
    pub(super) fn range(
        &self,
        start: usize,
        end: usize,
    ) -> impl DoubleEndedIterator<Item = &Item> + use<'_> {
        let mut slices = Vec::new();
        let end = end.min(self.len);
        if start < end {
            self.root.slices(start, end, &mut slices);
        }
        slices.into_iter().flatten()
    }

    /// Bytes on the heap, long members not counted. Estimated.
    pub(super) fn heap_bytes(&self) -> usize {
        // Nodes are about three quarters full.
        self.len * size_of::<Item>() * 4 / 3
    }
}

impl Child {
    fn new(node: Node) -> Self {
        Child {
            count: node.count(),
            node: Box::new(node),
        }
    }
}

impl Node {
    fn count(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(inner) => inner.children.iter().map(|child| child.count).sum(),
        }
    }

    /// Items of a leaf or children of an inner node.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(inner) => inner.children.len(),
        }
    }

    /// Puts an item in. Answers the right half and its fence when the node had to be split.
    fn insert(&mut self, item: Item) -> Option<(Item, Node)> {
        let member = raw(&item.member);
        match self {
            Node::Leaf(items) => {
                let at = items.partition_point(|found| found.is_before(item.score, member));
                items.insert(at, item);
            }
            Node::Inner(inner) => {
                let at = inner.child_of(item.score, member);
                let child = &mut inner.children[at];
                child.count += 1;
                if let Some((fence, right)) = child.node.insert(item) {
                    let right = Child::new(right);
                    child.count -= right.count;
                    inner.fences.insert(at, fence);
                    inner.children.insert(at + 1, right);
                }
            }
        }
        (self.width() > NODE_MAX).then(|| self.split())
    }

    /// Cuts the right half off.
    fn split(&mut self) -> (Item, Node) {
        match self {
            Node::Leaf(items) => {
                let right = items.split_off(items.len() / 2);
                (right[0].clone(), Node::Leaf(right))
            }
            Node::Inner(inner) => {
                let half = inner.children.len() / 2;
                let children = inner.children.split_off(half);
                let mut fences = inner.fences.split_off(half - 1);
                let fence = fences.remove(0);
                (fence, Node::Inner(Inner { fences, children }))
            }
        }
    }

    /// Takes the item at `rank` out.
    fn remove_at(&mut self, rank: usize) -> Option<Item> {
        match self {
            Node::Leaf(items) => (rank < items.len()).then(|| items.remove(rank)),
            Node::Inner(inner) => {
                let mut rank = rank;
                let at = inner.children.iter().position(|child| {
                    let here = rank < child.count;
                    if !here {
                        rank -= child.count;
                    }
                    here
                })?;
                let child = &mut inner.children[at];
                child.count -= 1;
                let item = child.node.remove_at(rank);
                if child.node.width() < NODE_MIN {
                    inner.join(at);
                }
                item
            }
        }
    }

    /// Takes the item of this score and member out. Answers whether it was there.
    fn remove(&mut self, score: f64, member: &[u8]) -> bool {
        match self {
            Node::Leaf(items) => {
                let at = items.partition_point(|found| found.is_before(score, member));
                let found = items.get(at);
                let is_there =
                    found.is_some_and(|item| item.score == score && raw(&item.member) == member);
                if is_there {
                    items.remove(at);
                }
                is_there
            }
            Node::Inner(inner) => {
                let at = inner.child_of(score, member);
                let child = &mut inner.children[at];
                let removed = child.node.remove(score, member);
                child.count -= removed as usize;
                if child.node.width() < NODE_MIN {
                    inner.join(at);
                }
                removed
            }
        }
    }

    fn slices<'o>(&'o self, start: usize, end: usize, out: &mut Vec<&'o [Item]>) {
        match self {
            Node::Leaf(items) => out.push(&items[start..end.min(items.len())]),
            Node::Inner(inner) => {
                let mut first = 0;
                for child in &inner.children {
                    let behind = first + child.count;
                    if start < behind && first < end {
                        let from = start.saturating_sub(first);
                        child.node.slices(from, (end - first).min(child.count), out);
                    }
                    first = behind;
                }
            }
        }
    }
}

impl Inner {
    /// The child that has or would have (score, member). An equal fence leads right.
    #[inline]
    fn child_of(&self, score: f64, member: &[u8]) -> usize {
        self.fences.partition_point(|fence| {
            fence.score < score || (fence.score == score && raw(&fence.member) <= member)
        })
    }

    /// Joins the narrow child at `at` with a neighbour, and splits the two again where they are
    /// too much for one node.
    fn join(&mut self, at: usize) {
        let left = if at + 1 < self.children.len() {
            at
        } else {
            at.saturating_sub(1)
        };
        if left + 1 >= self.children.len() {
            return;
        }
        let fence = self.fences.remove(left);
        let right = self.children.remove(left + 1);
        let child = &mut self.children[left];
        child.count += right.count;
        match (&mut *child.node, *right.node) {
            (Node::Leaf(items), Node::Leaf(more)) => items.extend(more),
            (Node::Inner(inner), Node::Inner(more)) => {
                inner.fences.push(fence);
                inner.fences.extend(more.fences);
                inner.children.extend(more.children);
            }
            _ => unreachable!("all leaves lie at one depth"),
        }
        if child.node.width() > NODE_MAX {
            let (fence, right) = child.node.split();
            let right = Child::new(right);
            child.count -= right.count;
            self.fences.insert(left, fence);
            self.children.insert(left + 1, right);
        }
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
