//! What must not be there, and what must stand beside what is.

use crate::source::{Source, report, sources};

/// Words that say nothing about the domain.
const BANNED_NAMES: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "manager", "misc",
];

/// Words that end the process.
const PANICS: &[&str] = &[".unwrap()", "panic!(", "todo!(", "unimplemented!(", "dbg!("];

/// Places where a panic was looked at and is right: the file, a part of the line, and why.
const PANICS_REVIEWED: &[(&str, &str, &str)] = &[(
    "src/log/segment/state.rs",
    "a record was written where index {expected} should be",
    "the order was checked when the record came: going on would leave a hole in the log",
)];

#[test]
fn names_are_nouns_of_the_domain() {
    let mut places = Vec::new();
    for folder in ["src", "tests", "fuzz", "perf"] {
        for file in sources(folder) {
            for part in file.path.split('/') {
                let name = part.strip_suffix(".rs").unwrap_or(part);
                if name.split('_').any(|word| BANNED_NAMES.contains(&word)) {
                    places.push(file.path.clone());
                }
            }
        }
    }
    report("names that say nothing", places);
}

#[test]
fn nothing_panics_on_purpose() {
    let mut places = Vec::new();
    for file in sources("src") {
        for (at, line) in file.product_lines() {
            let reviewed =
                |(path, part, _): &(&str, &str, &str)| file.path == *path && line.contains(part);
            if PANICS.iter().any(|word| line.contains(word))
                && !PANICS_REVIEWED.iter().any(reviewed)
            {
                places.push(format!("{}:{at}: {}", file.path, line.trim()));
            }
        }
    }
    report("panics in the product", places);
}

#[test]
fn reviewed_panics_are_still_there() {
    let files = sources("src");
    let gone = PANICS_REVIEWED.iter().filter(|(path, part, _)| {
        !files
            .iter()
            .any(|file| file.path == *path && file.text.contains(part))
    });
    report(
        "no longer there",
        gone.map(|(path, part, _)| format!("{path}: {part}"))
            .collect(),
    );
}

#[test]
fn unsafe_says_why_it_is_safe() {
    let mut places = Vec::new();
    for file in sources("src") {
        let lines: Vec<&str> = file.text.lines().collect();
        for (at, line) in file.product_lines() {
            if needs_reason(line) && !has_reason(&lines[..at - 1]) {
                places.push(format!("{}:{at}: {}", file.path, line.trim()));
            }
        }
    }
    report("unsafe without // SAFETY:", places);
}

fn needs_reason(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.contains("unsafe {") || code.contains("unsafe impl") || code.trim_end().ends_with("unsafe")
}

/// Whether the comment right above the statement (its first lines may lie in between) says it.
fn has_reason(above: &[&str]) -> bool {
    let mut between = 0;
    for line in above.iter().rev() {
        let line = line.trim();
        if line.starts_with("//") {
            if line.contains("SAFETY:") {
                return true;
            }
        } else if line.is_empty() || between == 4 {
            return false;
        } else {
            between += 1;
        }
    }
    false
}

#[test]
fn every_folder_says_what_it_is_for() {
    let mut places = Vec::new();
    for file in sources("src") {
        if !file.path.ends_with("/mod.rs") || file.is_test() {
            continue;
        }
        let prose = file
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .count();
        // Folders of `src/` itself have invariants to tell; deeper ones at least a purpose.
        let enough = if depth(&file) == 2 { 5 } else { 1 };
        if prose < enough {
            places.push(format!("{}: {prose} lines of prose", file.path));
        }
    }
    report("mod.rs without its purpose", places);
}

fn depth(file: &Source) -> usize {
    file.path.matches('/').count()
}

#[test]
fn nothing_is_left_for_later_without_a_trace() {
    let mut places = Vec::new();
    for file in sources("src") {
        for (at, line) in file.lines() {
            if ["TODO", "FIXME", "XXX:", "HACK"]
                .iter()
                .any(|word| line.contains(word))
            {
                places.push(format!("{}:{at}: {}", file.path, line.trim()));
            }
        }
    }
    report("notes to oneself", places);
}
