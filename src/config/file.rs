//! Lines of configuration, from files, standard input and the command line.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Fatal;
use crate::glob;
use crate::limits::INCLUDES_DEEP_MAX;

use super::foreign;
use super::settings::Config;
use super::table::{DIRECTIVES, Name};
use super::words;

impl Config {
    /// Applies the lines of a file, and of those that it includes.
    ///
    /// # Errors
    /// The file, the line and what is wrong with it.
    pub(super) fn read_file(&mut self, path: &Path, depth: usize) -> Result<(), Fatal> {
        let text = fs::read_to_string(path)
            .map_err(|error| Fatal::io("reading the configuration file", path, error))?;
        self.read_text(&text, &path.display().to_string(), depth)
    }

    /// Applies lines; `origin` names them in errors.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub(super) fn read_text(
        &mut self,
        text: &str,
        origin: &str,
        depth: usize,
    ) -> Result<(), Fatal> {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("{origin}:{}", index + 1);
            let words = words::split(line)
                .ok_or_else(|| Fatal::Setup(format!("{place}: unbalanced quotes in '{line}'")))?;
            match words.split_first() {
                Some((name, paths)) if name.eq_ignore_ascii_case("include") => {
                    self.include(paths, &place, depth)?;
                }
                Some((name, values)) => self.apply(name, values, &place)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Sets one directive; `place` says where it stood.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one; or what is wrong with the value.
    pub(super) fn apply(
        &mut self,
        name: &str,
        values: &[String],
        place: &str,
    ) -> Result<(), Fatal> {
        let Some(found) = Name::find(name) else {
            if let Some(why) = foreign::reason(name) {
                self.note(&name.to_ascii_lowercase(), why);
                return Ok(());
            }
            let advice = advice(name);
            let what = format!("{place}: unknown directive '{name}'{advice}");
            return Err(Fatal::Setup(what));
        };
        self.assign(found, values).map_err(|why| {
            let line = values.iter().fold(found.to_string(), |line, word| {
                line + " " + &words::quote(word)
            });
            Fatal::Setup(format!("{place}: '{line}': {why}"))
        })
    }

    fn include(&mut self, paths: &[String], place: &str, depth: usize) -> Result<(), Fatal> {
        let [path] = paths else {
            let why = "include takes one path";
            return Err(Fatal::Setup(format!("{place}: {why}")));
        };
        if depth >= INCLUDES_DEEP_MAX {
            let why = format!("more than {INCLUDES_DEEP_MAX} files include each other");
            return Err(Fatal::Setup(format!("{place}: {why}")));
        }
        for path in expand(path) {
            self.read_file(&path, depth + 1)?;
        }
        Ok(())
    }
}

/// The files that a path names: itself, or those that the pattern in its last part matches, in
/// order (none may).
fn expand(path: &str) -> Vec<PathBuf> {
    let path = Path::new(path);
    let pattern = path.file_name().and_then(|name| name.to_str());
    let Some(pattern) = pattern.filter(|name| name.contains(['*', '?', '['])) else {
        return vec![path.to_path_buf()];
    };
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().map(|name| name.as_encoded_bytes());
            // As the shell: a leading dot is not matched by a pattern.
            name.is_some_and(|name| {
                !name.starts_with(b".") && glob::matches(pattern.as_bytes(), name, false)
            })
        })
        .collect();
    found.sort();
    found
}

/// What to say about an unknown name: the nearest known one, when one is near.
fn advice(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    DIRECTIVES
        .iter()
        .map(|directive| (distance(&lower, directive.name), directive.name))
        .min()
        .filter(|(distance, _)| *distance <= lower.len().div_ceil(2))
        .map_or_else(
            || "; --help lists all".to_string(),
            |(_, near)| format!("; did you mean '{near}'?"),
        )
}

/// Levenshtein's distance: how many bytes to add, drop or change.
fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + (x != *y) as usize;
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(advice("durabilty"), "; did you mean 'durability'?");
        assert_eq!(advice("prot"), "; did you mean 'port'?");
        assert_eq!(advice("zzzzzzzz"), "; --help lists all");
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            (
                "\n# c\nprot 1",
                "f:3: unknown directive 'prot'; did you mean 'port'?",
            ),
            (
                "port 70000",
                "f:1: 'port 70000': argument must be between 0 and 65535 inclusive",
            ),
            ("port", "f:1: 'port': wrong number of arguments"),
            ("port 1 2", "f:1: 'port 1 2': wrong number of arguments"),
            ("dir \"x", "f:1: unbalanced quotes in 'dir \"x'"),
            (
                "appendonly no",
                "f:1: 'appendonly no': only 'yes' is possible: every write goes \
                               through the log; for the least waiting use durability low",
            ),
            ("include a b", "f:1: include takes one path"),
        ] {
            let error = Config::default().read_text(text, "f", 0).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn files_include_files() {
        let folder = std::env::temp_dir().join(format!("quorate-config-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("parts")).unwrap();
        let main = folder.join("main.conf");
        let parts = folder.join("parts").join("*.conf");
        fs::write(
            &main,
            format!(
                "port 1\ninclude {}\nTIMEOUT 7",
                words::quote(parts.to_str().unwrap())
            ),
        )
        .unwrap();
        fs::write(folder.join("parts/a.conf"), "port 2\n").unwrap();
        fs::write(folder.join("parts/b.conf"), "port 3\ndurability medium").unwrap();
        fs::write(folder.join("parts/c.txt"), "nonsense").unwrap();
        let mut config = Config::default();
        config.read_file(&main, 0).unwrap();
        assert_eq!((config.port(), config.timeout().unwrap().as_secs()), (3, 7));
        assert_eq!(config.show(Name::Durability), "medium");

        fs::write(
            &main,
            format!("include {}", words::quote(main.to_str().unwrap())),
        )
        .unwrap();
        let error = config.read_file(&main, 0).unwrap_err().to_string();
        assert!(error.contains("include each other"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
