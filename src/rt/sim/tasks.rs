//! The tasks of all processes, and which of them are ready.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::Process;

pub(super) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A task on its way into a poll: its number, its process, itself and its waker.
pub(super) type Taken = (u64, Process, Task, Waker);

#[derive(Default)]
pub(super) struct Tasks {
    /// A task that is being polled has none here.
    all: BTreeMap<u64, (Process, Option<Task>)>,
    next: u64,
    dead: BTreeSet<Process>,
}

thread_local! {
    /// Numbers of the tasks that were woken, in that order.
    static READY: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

struct Alarm(u64);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A thread that ends has no tasks left to wake.
        let _ = READY.try_with(|ready| {
            let mut ready = ready.borrow_mut();
            if !ready.contains(&self.0) {
                ready.push(self.0);
            }
        });
    }
}

impl Tasks {
    /// Adds a task; gives back what a dead process wanted to start.
    pub fn add(&mut self, process: Process, task: Task) -> Option<Task> {
        if self.dead.contains(&process) {
            return Some(task);
        }
        let id = self.next;
        self.next += 1;
        self.all.insert(id, (process, Some(task)));
        READY.with(|ready| ready.borrow_mut().push(id));
        None
    }

    /// Takes a ready task: mostly the one that has waited longest, else any.
    pub fn take_ready(&mut self, draw: u64) -> Option<Taken> {
        loop {
            let id = READY.with(|ready| {
                let mut ready = ready.borrow_mut();
                if ready.is_empty() {
                    return None;
                }
                let place = match (draw >> 32) % 4 {
                    0 => (draw >> 34) as usize % ready.len(),
                    _ => 0,
                };
                Some(ready.remove(place))
            })?;
            let Some((process, task)) = self.all.get_mut(&id) else {
                continue;
            };
            let Some(task) = task.take() else { continue };
            return Some((id, *process, task, Waker::from(Arc::new(Alarm(id)))));
        }
    }

    /// Takes a task back behind a poll; gives it back where its process was killed meanwhile.
    pub fn put_back(&mut self, id: u64, task: Task) -> Option<Task> {
        match self.all.get_mut(&id) {
            Some((_, place)) => {
                *place = Some(task);
                None
            }
            None => Some(task),
        }
    }

    pub fn forget(&mut self, id: u64) {
        self.all.remove(&id);
    }

    /// Takes out all tasks of a process, which may start no more.
    pub fn kill(&mut self, process: Process) -> Vec<Task> {
        self.dead.insert(process);
        let ids: Vec<u64> = self
            .all
            .iter()
            .filter(|(_, (owner, _))| *owner == process)
            .map(|(id, _)| *id)
            .collect();
        let taken = ids.iter().filter_map(|id| self.all.remove(id)?.1);
        taken.collect()
    }

    pub fn take_all(&mut self) -> Vec<Task> {
        READY.with(|ready| ready.borrow_mut().clear());
        std::mem::take(&mut self.all)
            .into_values()
            .filter_map(|(_, task)| task)
            .collect()
    }
}
