//! Networks of a test's own: namespaces with their own addresses and ports, and a switch between them
//! that loses, delays and cuts what the test wants lost, delayed and cut.
//!
//! A namespace is held by a descriptor and a device by another: both are gone when the test's
//! process is, however it ends. The switch is a thread of the test that carries packets between
//! the namespaces' devices; it needs nothing of the kernel but `CONFIG_TUN`, and can cut one way
//! without the sender being told, as a broken network does.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Largest packet, as on Ethernet.
const PACKET_BYTES_MAX: usize = 1500;

/// Packets that may be on their way; what comes beyond is lost, as in any switch.
const UNDER_WAY_MAX: usize = 10_000;

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;

/// A network namespace with a loopback of its own.
pub struct Namespace(File);

fn net_of_thread() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: setns takes a descriptor, and is allowed between fork and exec.
    match unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs iproute2 in this thread's namespace.
fn ip(words: &str) -> io::Result<()> {
    let status = Command::new("ip").args(words.split(' ')).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("ip {words}: {status}"))),
    }
}

impl Namespace {
    /// # Errors
    /// Where this process may not make one.
    pub fn make() -> io::Result<Namespace> {
        // In a thread of its own, which ends there.
        let making = std::thread::spawn(|| {
            // SAFETY: changes nothing but this thread's namespace.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            ip("link set lo up")?;
            net_of_thread().map(Namespace)
        });
        making.join().expect("nothing in it panics")
    }

    /// Does something inside; sockets that are made there stay there.
    pub fn inside<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let before = net_of_thread()?;
        enter(self.0.as_raw_fd())?;
        let result = act();
        enter(before.as_raw_fd()).expect("the way back");
        result
    }

    /// What a child does before it becomes another program, so that it lives inside.
    pub fn entering(&self) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
        let namespace = self.0.as_raw_fd();
        move || enter(namespace)
    }
}

/// What becomes of packets from one node to another.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way {
    pub is_cut: bool,
    /// Of a thousand packets.
    pub lost_permille: u64,
    pub delay: Duration,
    /// Up to so much more; packets overtake each other.
    pub jitter: Duration,
}

/// The ways from each node to each.
struct Ways(Mutex<Vec<Vec<Way>>>);

/// Namespaces that are joined by a switch.
pub struct Network {
    namespaces: Vec<Arc<Namespace>>,
    ways: Arc<Ways>,
    ending: Arc<AtomicBool>,
    switch: Option<JoinHandle<()>>,
}

impl Network {
    /// # Errors
    /// Where this process may not make namespaces or devices.
    pub fn make(count: usize) -> io::Result<Network> {
        let mut namespaces = Vec::new();
        let mut devices = Vec::new();
        for node in 0..count {
            let namespace = Namespace::make()?;
            devices.push(namespace.inside(|| device(node))?);
            namespaces.push(Arc::new(namespace));
        }
        let ways = Arc::new(Ways(Mutex::new(vec![vec![Way::default(); count]; count])));
        let ending = Arc::new(AtomicBool::new(false));
        let switch = Switch {
            devices,
            ways: ways.clone(),
            under_way: BTreeMap::new(),
            drawn: 1,
            sent: 0,
        };
        let until = ending.clone();
        Ok(Network {
            namespaces,
            ways,
            ending,
            switch: Some(std::thread::spawn(move || switch.run(&until))),
        })
    }

    pub fn namespace(&self, node: usize) -> Arc<Namespace> {
        self.namespaces[node].clone()
    }

    /// Loses everything from one node to another. The other way stays.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        self.ways.0.lock().unwrap()[from][to].is_cut = true;
    }

    pub fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Cuts a node off from all others.
    pub fn isolate(&self, node: usize) {
        let others = (0..self.namespaces.len()).filter(|other| *other != node);
        others.for_each(|other| self.cut(node, other));
    }

    /// Makes every way like this one.
    pub fn make_all(&self, way: Way) {
        let mut ways = self.ways.0.lock().unwrap();
        ways.iter_mut().flatten().for_each(|one| *one = way);
    }

    pub fn heal(&self) {
        self.make_all(Way::default());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        if let Some(switch) = self.switch.take() {
            let _ = switch.join();
        }
    }
}

/// Where a node of a network is reached.
pub fn host(node: usize) -> String {
    format!("10.77.0.{}", node + 1)
}

/// The device of a node, in this thread's namespace: what is sent to other nodes is read from it.
fn device(node: usize) -> io::Result<File> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    // The name, then flags, in the layout of `struct ifreq`.
    let mut request = [0u8; 40];
    request[..5].copy_from_slice(b"wire0");
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as u16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the kernel reads and writes a `struct ifreq`, which is no larger.
    if unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    ip(&format!("addr add {}/24 dev wire0", host(node)))?;
    ip("link set wire0 up")?;
    Ok(device)
}

/// Carries the packets.
struct Switch {
    devices: Vec<File>,
    ways: Arc<Ways>,
    /// By when they arrive, and a number that tells them apart.
    under_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    drawn: u64,
    sent: u64,
}

impl Switch {
    fn run(mut self, ending: &AtomicBool) {
        let mut waiting: Vec<libc::pollfd> = self
            .devices
            .iter()
            .map(|device| libc::pollfd {
                fd: device.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        while !ending.load(Ordering::SeqCst) {
            let next = self.under_way.keys().next();
            let pause = next.map_or(Duration::from_millis(50), |(due, _)| {
                due.saturating_duration_since(Instant::now())
            });
            let pause_ms = pause.as_micros().div_ceil(1000).min(50) as i32;
            // SAFETY: the array lives across the call.
            unsafe { libc::poll(waiting.as_mut_ptr(), waiting.len() as u64, pause_ms) };
            for from in 0..self.devices.len() {
                self.take(from);
            }
            self.deliver();
        }
    }

    /// Takes what a node sends.
    fn take(&mut self, from: usize) {
        let mut packet = [0; PACKET_BYTES_MAX];
        while let Ok(length) = self.devices[from].read(&mut packet) {
            // The last byte of the destination of an IPv4 packet; others go nowhere.
            let to = match (packet[0] >> 4, length) {
                (4, 20..) => usize::from(packet[19]).wrapping_sub(1),
                _ => continue,
            };
            if to < self.devices.len() {
                self.send(from, to, &packet[..length]);
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, packet: &[u8]) {
        let way = self.ways.0.lock().unwrap()[from][to];
        let is_lost = way.is_cut || self.draw(1000) < way.lost_permille;
        if is_lost || self.under_way.len() >= UNDER_WAY_MAX {
            return;
        }
        let jitter_us = self.draw(way.jitter.as_micros() as u64 + 1);
        let delay = way.delay + Duration::from_micros(jitter_us);
        if delay.is_zero() {
            // What finds no room is lost, as anywhere.
            let _ = self.devices[to].write(packet);
            return;
        }
        self.sent += 1;
        let place = (Instant::now() + delay, self.sent);
        self.under_way.insert(place, (to, packet.to_vec()));
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.under_way.first_entry()
            && first.key().0 <= now
        {
            let (to, packet) = first.remove();
            let _ = self.devices[to].write(&packet);
        }
    }

    /// Below `bound`.
    fn draw(&mut self, bound: u64) -> u64 {
        self.drawn ^= self.drawn << 13;
        self.drawn ^= self.drawn >> 7;
        self.drawn ^= self.drawn << 17;
        self.drawn % bound
    }
}
