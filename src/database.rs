//! How this house opens databases of the storage engine (fjall): made in one step, and damage told
//! as an error.
//!
//! fjall 3.1.13 makes its files one by one, its version marker in between: killed there, it takes
//! its own directory for another release's. And it checks some lengths of what it reads by
//! assertion. Neither may reach a user.

use std::any::Any;
use std::cell::RefCell;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use fjall::{Database, DatabaseBuilder};

use crate::error::{Fatal, system_error};

/// Opens the database in `path`, made when it is not there. Blocks.
///
/// A kill while it is made leaves no database: it is made under another name beside `path`, which
/// the next call clears away.
///
/// # Errors
/// `Fatal::Setup` where another process or another release has it, `Fatal::Corrupt` for damage.
pub fn open(
    path: &Path,
    configure: impl Fn(DatabaseBuilder<Database>) -> DatabaseBuilder<Database>,
) -> Result<Database, Fatal> {
    let open = |path: &Path| {
        configure(Database::builder(path))
            .open()
            .map_err(|error| fatal(path, error))
    };
    guarded(path, || {
        if is_missing(path).map_err(|error| Fatal::io("reading", path, error))? {
            let draft = draft(path);
            clear(&draft).map_err(|error| Fatal::io("removing", &draft, error))?;
            drop(open(&draft)?);
            publish(&draft, path).map_err(|error| Fatal::io("making", path, error))?;
        }
        open(path)
    })
}

/// Runs what reads a database; a panic of the engine over what it read is told as damage at
/// `path`, and nowhere else.
///
/// # Errors
/// What `work` answers, and `Fatal::Corrupt` where it panics.
pub fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Fatal>) -> Result<T, Fatal> {
    let guarded = Guarded {
        path: path.to_owned(),
        said: String::new(),
    };
    let outer = GUARDED.replace(Some(guarded));
    let result = catch_unwind(AssertUnwindSafe(work));
    let guarded = GUARDED.replace(outer);
    match (result, guarded) {
        (Ok(result), _) => result,
        (Err(panic), Some(mut guarded)) => {
            if guarded.said.is_empty() {
                guarded.said = said(&*panic).to_owned();
            }
            Err(guarded.fatal())
        }
        (Err(panic), None) => resume_unwind(panic),
    }
}

/// What an error of the engine means for the node.
pub fn fatal(path: &Path, error: fjall::Error) -> Fatal {
    match error {
        fjall::Error::Io(error) => Fatal::io("using the database in", path, error),
        fjall::Error::Locked => Fatal::Setup(format!(
            "the database in {} is in use by another process: stop it, or give this node a directory of its own",
            path.display()
        )),
        fjall::Error::InvalidVersion(Some(_)) => Fatal::Setup(format!(
            "the database in {} was written by another release of fjall: start the release that wrote it",
            path.display()
        )),
        other => match system_error(&other) {
            Some(error) => Fatal::io("using the database in", path, error),
            None => Fatal::Corrupt {
                what: format!("the database in {}: {other}", path.display()),
            },
        },
    }
}

thread_local! {
    /// What a thread that is guarded reads, and what its panic said.
    static GUARDED: RefCell<Option<Guarded>> = const { RefCell::new(None) };
}

struct Guarded {
    path: PathBuf,
    /// Empty before a panic.
    said: String,
}

impl Guarded {
    fn fatal(&self) -> Fatal {
        Fatal::Corrupt {
            what: format!("the database in {}: {}", self.path.display(), self.said),
        }
    }
}

/// What a panic said.
fn said(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    text.or(owned).unwrap_or("the storage engine gave up")
}

/// Has this process keep the panics of [`guarded`] threads for their [`Fatal`], place included; all
/// others are told as before. The hook is the whole process's: a program's to set, not a library's.
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let kept = GUARDED.try_with(|guarded| {
                let mut guarded = guarded.borrow_mut();
                guarded.as_mut().map(|guarded| keep(guarded, panic))
            });
            if !matches!(kept, Ok(Some(()))) {
                told(panic);
            }
        }));
    });
}

fn keep(guarded: &mut Guarded, panic: &PanicHookInfo<'_>) {
    if !guarded.said.is_empty() {
        // fjall 3.1.13 unwraps a lock that its first panic poisoned, while it unwinds: Rust is
        // about to abort. The user is told what was damaged instead.
        eprintln!("quorate: {}", guarded.fatal());
        // SAFETY: ends the process; nothing of it runs on.
        unsafe { libc::_exit(1) };
    }
    let what = said(panic.payload());
    guarded.said = match panic.location() {
        Some(at) => format!("{what} ({}:{})", at.file(), at.line()),
        None => what.to_owned(),
    };
}

/// Whether no database was ever completed at `path`: an empty directory may have been made for it.
fn is_missing(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().transpose()?.is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Where a database is made before it gets its name.
fn draft(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn clear(draft: &Path) -> io::Result<()> {
    match fs::remove_dir_all(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Syncs a directory, and all that is in it.
fn sync_all(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_all(&entry.path())?,
            false => fs::File::open(entry.path())?.sync_all()?,
        }
    }
    fs::File::open(directory)?.sync_all()
}

/// Gives a complete database its name.
fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    // What fjall leaves to the page cache at its end.
    sync_all(draft)?;
    // Over an empty directory, or none.
    fs::rename(draft, path)?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use fjall::KeyspaceCreateOptions;

    use super::*;

    #[test]
    fn a_database_killed_while_it_is_made_is_made_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("rows");
        // As fjall leaves it before it writes its version.
        fs::create_dir_all(draft(&path)).unwrap();
        fs::write(draft(&path).join("version"), b"").unwrap();
        let database = open(&path, |builder| builder).unwrap();
        let rows = database
            .keyspace("rows", KeyspaceCreateOptions::default)
            .unwrap();
        rows.insert("a", "b").unwrap();
        drop((rows, database));
        let database = open(&path, |builder| builder).unwrap();
        let rows = database
            .keyspace("rows", KeyspaceCreateOptions::default)
            .unwrap();
        assert_eq!(rows.get("a").unwrap().as_deref(), Some(&b"b"[..]));
        assert!(!draft(&path).exists());
    }

    #[test]
    fn an_emptied_marker_is_damage() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("rows");
        drop(open(&path, |builder| builder).unwrap());
        fs::write(path.join("version"), b"").unwrap();
        let Err(error) = open(&path, |builder| builder) else {
            panic!("opened without a version")
        };
        assert!(matches!(error, Fatal::Corrupt { .. }), "{error}");
    }

    #[test]
    fn a_panic_of_the_engine_is_damage() {
        let fail = || -> String {
            let answer: Result<(), Fatal> = guarded(Path::new("/data"), || panic!("level count"));
            answer.unwrap_err().to_string()
        };
        assert!(fail().starts_with("damaged: the database in /data: level count"));
        quiet_panics();
        assert!(fail().starts_with("damaged: the database in /data: level count (src/"));
        guarded(Path::new("/data"), || Ok(())).unwrap();
    }
}
