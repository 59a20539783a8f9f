//! The tree as text.

use std::path::{Path, PathBuf};

/// One source file.
pub struct Source {
    /// From the repository's root, with `/`.
    pub path: String,
    pub text: String,
}

impl Source {
    /// The file's lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }

    /// The lines that are code of the product: no comments, nothing from `#[cfg(test)]` on.
    pub fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let whole_file = !self.is_test();
        let end = self.test_begins_at().unwrap_or(usize::MAX);
        self.lines()
            .filter(move |(at, _)| whole_file && *at < end)
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Where the file's own tests begin: at the `#[cfg(test)]` in front of an inline module.
    fn test_begins_at(&self) -> Option<usize> {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_module = |line: &str| {
            (line.starts_with("mod ") || line.contains(" mod ")) && line.ends_with('{')
        };
        let at = (0..lines.len()).find(|&at| {
            lines[at] == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|next| is_module(next))
        })?;
        Some(at + 1)
    }

    /// Whether the whole file is tests: by its name, or because its folder is.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name == "tests.rs"
            || name.ends_with("_tests.rs")
            || TEST_FOLDERS
                .iter()
                .any(|folder| self.path.starts_with(folder))
    }

    /// The module of `src/` that the file belongs to.
    pub fn module(&self) -> &str {
        let rest = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let name = rest.split('/').next().unwrap_or_default();
        name.strip_suffix(".rs").unwrap_or(name)
    }
}

/// Folders and files of `src/` that are compiled for tests only, feature `sim` among them.
const TEST_FOLDERS: &[&str] = &[
    "src/checkpoint/simulated.rs",
    "src/command/golden/",
    "src/log/simulated_meta.rs",
    "src/node/simulated.rs",
    "src/raft/runtime/simulated.rs",
    "src/raft/tests/",
    "src/rt/sim/",
    "src/raft/conformance.rs",
    "src/shard/tests/",
];

/// Every Rust file below this folder of the repository.
pub fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join(folder), &mut paths);
    paths.sort();
    let read = |path: &PathBuf| Source {
        path: path
            .strip_prefix(root)
            .unwrap()
            .to_string_lossy()
            .into_owned(),
        text: std::fs::read_to_string(path).unwrap(),
    };
    let found: Vec<Source> = paths.iter().map(read).collect();
    assert!(!found.is_empty(), "nothing below {folder}");
    found
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                walk(&path, paths);
            }
        } else if name.ends_with(".rs") {
            paths.push(path);
        }
    }
}

/// Fails with one line for each place that breaks a rule.
pub fn report(rule: &str, mut places: Vec<String>) {
    places.sort();
    assert!(places.is_empty(), "{rule}:\n  {}", places.join("\n  "));
}
