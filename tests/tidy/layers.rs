//! Modules import downward only, and a library stays behind its seam.

use crate::source::{report, sources};

/// The rank of each module. A module imports only from strictly lower ranks.
const RANKS: &[(&str, u32)] = &[
    ("address", 0),
    ("clock", 0),
    ("error", 0),
    ("glob", 0),
    ("limits", 0),
    ("slot", 0),
    ("acl", 1),
    ("config", 1),
    ("database", 1),
    ("metrics", 1),
    ("resp", 1),
    ("rt", 1),
    ("discovery", 2),
    ("log", 2),
    ("session", 2),
    ("value", 2),
    ("checkpoint", 3),
    ("keyspace", 3),
    ("command", 4),
    ("raft", 4),
    ("shard", 5),
    ("node", 6),
    ("embed", 7),
    ("http", 7),
    ("server", 7),
    ("main", 8),
];

/// Pairs of one rank that only tests join: the way of an image from a shard to the disk.
const TESTS_ONLY: &[(&str, &str)] = &[("checkpoint", "keyspace")];

/// Libraries, and where they may be named.
const SEAMS: &[(&str, &[&str])] = &[
    ("glommio", &["src/rt/", "src/raft/runtime/"]),
    ("openraft", &["src/raft/"]),
    ("openraft_rt", &["src/raft/"]),
    ("fjall", &["src/database.rs", "src/log/", "src/checkpoint/"]),
    ("io_uring", &["src/rt/"]),
];

fn rank(module: &str) -> Option<u32> {
    RANKS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, rank)| *rank)
}

/// The modules that a line names behind `crate::` (or `quorate::`, in `main.rs`).
fn named<'l>(line: &'l str, root: &str) -> Vec<&'l str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices(root) {
        let is_path = line[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != '$');
        let rest = &line[at + root.len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        if is_path && end > 0 {
            found.push(&rest[..end]);
        }
    }
    found
}

#[test]
fn every_module_has_a_rank() {
    let files = sources("src");
    let without = files
        .iter()
        .filter(|file| file.module() != "lib" && rank(file.module()).is_none());
    report(
        "no rank in tests/tidy/layers.rs",
        without.map(|file| file.path.clone()).collect(),
    );
}

#[test]
fn modules_import_downward() {
    let mut places = Vec::new();
    for file in sources("src") {
        let module = file.module();
        let Some(own) = rank(module) else { continue };
        let root = if module == "main" {
            "quorate::"
        } else {
            "crate::"
        };
        for (at, line) in file.lines() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for target in named(line, root) {
                let in_tests = file.is_test() && TESTS_ONLY.contains(&(module, target));
                // What is no module is a macro or an item of the crate's root.
                let Some(other) = rank(target) else { continue };
                if target != module && other >= own && !in_tests {
                    places.push(format!(
                        "{}:{at}: {module} ({own}) names {target} ({other})",
                        file.path
                    ));
                }
            }
            // `use crate::{a, b}` would hide the names from this test.
            if line.contains("crate::{") {
                places.push(format!(
                    "{}:{at}: name each module in a line of its own",
                    file.path
                ));
            }
        }
    }
    report("imports that do not go down", places);
}

#[test]
fn libraries_stay_behind_their_seams() {
    let mut places = Vec::new();
    for file in sources("src") {
        for (library, homes) in SEAMS {
            if homes.iter().any(|home| file.path.starts_with(home)) {
                continue;
            }
            for (at, line) in file.lines() {
                if !line.trim_start().starts_with("//") && line_names(line, library) {
                    places.push(format!("{}:{at}: {library}", file.path));
                }
            }
        }
    }
    report("libraries named outside their modules", places);
}

/// Whether `library::` stands in the line as a path of its own.
fn line_names(line: &str, library: &str) -> bool {
    line.match_indices(library).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        line[at + library.len()..].starts_with("::")
            && before.is_none_or(|before| !before.is_alphanumeric() && !"_:\"".contains(before))
    })
}
