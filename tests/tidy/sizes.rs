//! Files and functions that fit a head.

use crate::source::{report, sources};

/// Lines of a file, its tests included.
const FILE_LINES_MAX: usize = 600;

/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 90;

/// Functions that are one table or one `match` with an arm for each command, and read better whole.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

#[test]
fn files_are_short() {
    let mut places = Vec::new();
    for folder in ["src", "tests", "fuzz", "perf"] {
        for file in sources(folder) {
            let lines = file.text.lines().count();
            if lines > FILE_LINES_MAX {
                places.push(format!("{}: {lines} lines", file.path));
            }
        }
    }
    report(
        &format!("files over {FILE_LINES_MAX} lines: split them by stage"),
        places,
    );
}

#[test]
fn functions_fit_a_screen() {
    let mut places = Vec::new();
    for file in sources("src") {
        let lines: Vec<&str> = file.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else {
                continue;
            };
            let indent = &line[..line.len() - line.trim_start().len()];
            let close = format!("{indent}}}");
            // Where the signature ends: at the body, or at the `;` of a trait's method.
            let signature = lines[at..]
                .iter()
                .find(|line| line.ends_with('{') || line.ends_with(';'));
            if signature.is_some_and(|line| line.ends_with(';')) {
                continue;
            }
            // rustfmt puts the closing brace under the first word.
            let length = lines[at..]
                .iter()
                .position(|line| *line == close)
                .unwrap_or(0);
            let one_line = line.ends_with('}');
            let listed = LONG_FUNCTIONS.contains(&(file.path.as_str(), name));
            if !one_line && length > FUNCTION_LINES_MAX && !listed {
                places.push(format!("{}:{}: {name}, {length} lines", file.path, at + 1));
            }
        }
    }
    report(
        &format!("functions over {FUNCTION_LINES_MAX} lines"),
        places,
    );
}

/// The name of the function that begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in [
        "pub ",
        "pub(crate) ",
        "pub(super) ",
        "const ",
        "async ",
        "unsafe ",
    ] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    Some(&rest[..end])
}
