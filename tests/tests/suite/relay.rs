//! Further properties of danteshm beside the real programs: the usrvclock output, the wait for synchronised UTC, `--sample-rate`,
//! the seccomp filter.

use dante_core::page::{Dante4l, Freshness};
use dante_core::port::State;
use dante_core::relay;
use dante_core::time::Uncertainty;
use dante_core::track::KernelSync;
use dante_os::clock::raw_now;
use dante_os::page::{PageReader, PageWriter};
use dante_tests::lab::{Lab, Readers, proc_status};
use dante_tests::ntp::{Behaviour, NtpServer};
use dante_tests::program::{Program, built};
use dante_tests::realtime::repeat_if_steered;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, judge, wait_for, wait_until};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A client of a usrvclock, by the published protocol.
struct Client {
    socket: UnixDatagram,
    server: PathBuf,
}

/// The contents of a datagram.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Overlay {
    last_sync: i64,
    shift: i64,
    freq_scale: f64,
}

impl Client {
    fn new(server: &Path, own: &Path) -> Self {
        let socket = UnixDatagram::bind(own).expect("the client's socket");
        socket.set_read_timeout(Some(EVENT_TIMEOUT)).expect("a time limit");
        Self { socket, server: server.into() }
    }

    fn register(&self) {
        self.socket.send_to(&[], &self.server).expect("registering");
    }

    fn next(&self) -> Overlay {
        let mut bytes = [0; 64];
        let received = loop {
            match self.socket.recv(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.expect("a datagram"),
            }
        };
        assert_eq!(received, 40);
        let eight = |at: usize| bytes[at..at + 8].try_into().expect("8 bytes");
        let short = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        assert_eq!(&bytes[..2], b"VC");
        assert_eq!((short(2), short(4), short(6) & 1), (1, 0, 1), "major, minor, flags");
        assert_eq!(i64::from_ne_bytes(eight(8)), 4, "CLOCK_MONOTONIC_RAW");
        let int = |at| i64::from_ne_bytes(eight(at));
        Overlay { last_sync: int(16), shift: int(24), freq_scale: f64::from_ne_bytes(eight(32)) }
    }
}

impl Overlay {
    /// overlay(t) = t + shift + round((t - last_sync) * freq_scale)
    #[expect(clippy::cast_possible_truncation, reason = "a small product")]
    fn overlay(&self, raw: i64) -> i64 {
        raw + self.shift + ((raw - self.last_sync) as f64 * self.freq_scale).round() as i64
    }
}

#[test]
fn usrvclock_sends_dante_time_also_in_holdover() {
    let Some(lab) = Lab::new() else { return };
    let path = lab.stage.folder().join("usrvclock");
    let relay = lab.danteshm_with(&[&format!("--usrvclock={}", path.display()), "--usrvclock-perm=600"]);
    let dante4l = lab.dante4l(&[]);
    let leader = lab.leader(&["--ppm=12", "--uptime=700"]);
    let (truth, mut readers) = (leader.truth(), lab.readers());
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    std::thread::sleep(Duration::from_secs(5));

    let client = Client::new(&path, &lab.stage.folder().join("client"));
    client.register();
    let asked = Instant::now();
    let overlay = client.next();
    println!("first datagram after {:.3} ms", asked.elapsed().as_secs_f64() * 1e3);
    let now = raw_now();
    let map = readers.map().expect("a map");
    let Uncertainty { offset, .. } = map.uncertainty_at(now);
    let off = overlay.overlay(now.ns()) - map.dante_at(now).ns();
    // The datagram and the page may be of different Syncs, between which the map moves by a few sigma.
    let limit = 5 * offset.ns() + 5_000;
    println!("overlay - map {off} ns, limit {limit} ns, sigma {} ns", offset.ns());
    assert!(off.abs() <= limit, "{overlay:?} - map of the page: {off} ns");
    let error = overlay.overlay(now.ns()) - truth.at(now).ns();
    println!("overlay - truth {error} ns, without the path delay");
    assert!(error.abs() < 1_000_000, "overlay - Dante time: {error} ns");

    // A datagram at least once per second, here with each Sync.
    let times: Vec<Instant> = (0..12).map(|_| (client.next(), Instant::now()).1).collect();
    let mut gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort();
    // A busy machine may delay one of them.
    assert!(gaps[gaps.len() - 2] < Duration::from_secs(1), "{gaps:?}");
    let status = lab.stage.status();
    let output = &status["danteshm"]["outputs"][1];
    assert_eq!((&output["kind"], &output["clients"]), (&"usrvclock".into(), &1.into()), "{output}");
    assert_eq!(output["path"], path.display().to_string());

    // The leader is lost and dante4l is killed: danteshm repeats the last overlay.
    leader.program.signal(Signal::SIGSTOP);
    readers.wait_for_port(State::Listening, EVENT_TIMEOUT);
    dante4l.kill();
    readers.wait_for_relay(relay::State::Waiting, EVENT_TIMEOUT);
    std::thread::sleep(Duration::from_secs(1));
    client.socket.set_nonblocking(true).expect("not waiting");
    while client.socket.recv(&mut [0; 64]).is_ok() {}
    client.socket.set_nonblocking(false).expect("waiting");
    let begun = Instant::now();
    let held = client.next();
    assert_eq!((client.next(), client.next()), (held, held), "the overlay changed in holdover");
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(1700)..Duration::from_secs(20)).contains(&took),
        "{took:?} for three datagrams"
    );
    let error = held.overlay(raw_now().ns()) - truth.at(raw_now()).ns();
    println!("overlay - truth in holdover {error} ns");
    assert!(error.abs() < 1_000_000, "{error} ns");

    // A new client receives a datagram at once; a client that has ended is removed.
    let late = Client::new(&path, &lab.stage.folder().join("late"));
    late.register();
    assert_eq!(late.next(), held);
    drop(client);
    wait_for("one client", EVENT_TIMEOUT, || {
        (readers.danteshm()?.body.outputs()[1].clients == 1).then_some(())
    });
    relay.stop().expect(0, &[]);
    assert!(!path.exists(), "the socket file was not removed");
}

/// The directory of the socket is full or missing: danteshm reports it, writes samples to the segment, and creates the socket once
/// the directory exists.
#[test]
fn failed_usrvclock_does_not_affect_other_outputs() {
    let Some(lab) = Lab::new() else { return };
    let folder = lab.stage.folder().join("full");
    std::fs::create_dir(&folder).expect("a folder");
    // Only this program sees the mount: `ip netns exec` gives it a mount namespace.
    let mut command = lab.near.command("sh");
    let script = "mount -t tmpfs -o nr_inodes=1 full \"$1\" && shift && exec \"$@\"";
    command.args(["-c", script, "sh"]).arg(&folder).arg(built("danteshm"));
    command.arg(format!("--shm={}", lab.stage.unit())).arg("--epoch=now");
    command.arg(format!("--usrvclock={}", folder.join("clock").display())).args(lab.stage.daemon_words());
    let relay = lab.stage.start("danteshm", command);
    let _dante4l = lab.dante4l(&[]);
    let _leader = lab.leader(&["--ppm=12"]);
    let mut readers = lab.readers();
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    let output = relay.output();
    assert!(output.contains("usrvclock") && output.contains("No space left"), "{output}");
    let ready: Vec<u8> =
        readers.danteshm().expect("its page").body.outputs().iter().map(|output| output.ready).collect();
    assert_eq!(ready, [1, 0]);
    // A directory that is created later.
    let later = lab.stage.folder().join("later");
    let path = later.join("clock");
    relay.stop().expect(0, &[]);
    let words = [
        format!("--shm={}", lab.stage.unit()),
        "--epoch=now".into(),
        format!("--usrvclock={}", path.display()),
    ];
    let relay = lab.start("danteshm", &words.each_ref().map(String::as_str));
    relay.wait_for_output("the directory of the socket does not exist", EVENT_TIMEOUT);
    std::fs::create_dir(&later).expect("a folder");
    wait_until("the socket", EVENT_TIMEOUT, || path.exists());
    relay.stop().expect(0, &[]);
}

/// Another user occupies the name of the usrvclock and the key of the segment: danteshm starts, reports both, and uses them once they
/// are free.
#[test]
fn names_occupied_by_another_user_do_not_keep_danteshm_from_starting() {
    let Some(lab) = Lab::new() else { return };
    let path = lab.stage.folder().join("usrvclock");
    let planted = UnixDatagram::bind(&path).expect("a socket");
    std::os::unix::fs::lchown(&path, Some(65_534), Some(65_534)).expect("another owner");
    let relay = lab.danteshm_with(&[&format!("--usrvclock={}", path.display())]);
    relay.wait_for_output("a socket of user 65534 has this name", EVENT_TIMEOUT);
    let mut readers = lab.readers();
    let ready = |readers: &mut Readers| -> Option<Vec<u8>> {
        Some(readers.danteshm()?.body.outputs().iter().map(|output| output.ready).collect())
    };
    wait_until("the segment without the usrvclock", EVENT_TIMEOUT, || {
        ready(&mut readers) == Some(vec![1, 0])
    });
    assert!(path.exists(), "the socket of another user was removed");
    let ended = lab.stage.run("pmc-lite", &["check", &format!("--instance={}", lab.stage.instance())]);
    assert!(ended.output.contains("another program uses this socket"), "{}", ended.output);
    std::fs::remove_file(&path).expect("removing the socket");
    drop(planted);
    wait_until("both outputs", EVENT_TIMEOUT, || ready(&mut readers) == Some(vec![1, 1]));
    relay.stop().expect(0, &[]);
    assert!(!path.exists());
}

/// dante4l's clock page under another instance name, with another synchronisation of CLOCK_REALTIME according to the kernel: the
/// daemons beside this page do not depend on the machine that runs the test.
struct Republisher {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Republisher {
    fn start(from: &Stage, to: &Stage, kernel: KernelSync) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (ended, source, name) = (Arc::clone(&end), from.page_name(), to.page_name());
        let thread = std::thread::spawn(move || {
            let mut reader = PageReader::<Dante4l>::new(source);
            let mut writer = PageWriter::open(&name, 1).expect("a page");
            while !ended.load(Ordering::Relaxed) {
                if let Ok(view) = reader.read(raw_now())
                    && view.freshness == Freshness::Fresh
                {
                    let mut body = view.body;
                    body.set_kernel_sync(Some(kernel));
                    writer.publish(raw_now(), &body);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { end, thread: Some(thread) }
    }
}

impl Drop for Republisher {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A daemon in the near namespace beside the pages of `stage`.
fn start_beside(lab: &Lab, stage: &Stage, program: &str, words: &[&str]) -> Program {
    let mut command = lab.near.command(built(program));
    command.args(words).args(stage.daemon_words());
    stage.start(program, command)
}

/// Without synchronised UTC the epoch offset (K) would be wrong: danteshm waits for it, from the kernel or from dante2sys.
#[test]
fn epoch_offset_waits_for_synchronised_utc() {
    repeat_if_steered(wait_for_synchronised_utc);
}

fn wait_for_synchronised_utc() {
    let Some(lab) = Lab::new() else { return };
    let _both = lab.following(&["--ppm=12"], &[]);
    let stage = Stage::new();
    let _page = Republisher::start(&lab.stage, &stage, KernelSync::Unsynchronised);
    let unit = format!("--shm={}", stage.unit());
    let relay = start_beside(&lab, &stage, "danteshm", &[&unit]);
    let mut readers = Readers::of(&stage);
    stage.wait_for("danteshm", "waiting_for", "utc", EVENT_TIMEOUT);
    assert_eq!(relay.output().matches("rtcsync").count(), 1, "logged once: {}", relay.output());
    let samples = readers.danteshm().expect("danteshm's page").body.outputs()[0].samples;
    assert_eq!(samples, 0);
    let screen = stage.screen();
    assert!(screen.contains("the system clock is not synchronised"), "{screen}");
    // A dante2sys without a UTC source has an epoch offset (K) that is no UTC.
    let plain = start_beside(&lab, &stage, "dante2sys", &["--clock=virtual"]);
    readers.wait_for_steerer(dante_core::steer::State::Locked, EVENT_TIMEOUT);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(readers.danteshm().expect("danteshm's page").body.state(), Some(relay::State::Waiting));
    plain.stop().expect(0, &[]);
    // A dante2sys with an NTP server on the leader's host.
    let ahead = 300_000_000;
    let _server = NtpServer::start(&lab.far, Behaviour { offset_ns: ahead, ..Behaviour::default() });
    let server = format!("--ntp-server={}", lab.far_address());
    let words = ["--clock=virtual", "--ntp-min-interval=4", &server];
    let _dante2sys = start_beside(&lab, &stage, "dante2sys", &words);
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    assert!(relay.output().contains("set from dante2sys"), "{}", relay.output());
    let status = stage.status();
    assert_eq!(status["danteshm"]["epoch_source"], "dante2sys");
    let reader = dante_os::ntpshm::NtpShmReader::attach(stage.unit()).expect("the segment");
    let sample = wait_for("a sample", EVENT_TIMEOUT, || reader.read()).0;
    let error = (sample.reference - sample.received).ns() - ahead;
    judge("time of day of the sample - that of the server", error as f64 / 1e6, 10.0, "ms");
}

#[test]
fn epoch_offset_is_taken_from_synchronised_system_clock() {
    let Some(lab) = Lab::new() else { return };
    let _both = lab.following(&["--ppm=12"], &[]);
    let stage = Stage::new();
    let bound = dante_core::time::Duration::from_ms(10);
    let _page = Republisher::start(&lab.stage, &stage, KernelSync::Synchronised(bound));
    let relay = start_beside(&lab, &stage, "danteshm", &[&format!("--shm={}", stage.unit())]);
    relay.wait_for_output("set from the synchronised system clock", EVENT_TIMEOUT);
    Readers::of(&stage).wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    assert_eq!(stage.status()["danteshm"]["epoch_source"], "clock");
}

#[test]
fn sample_rate_1_writes_one_sample_per_second() {
    let Some(lab) = Lab::new() else { return };
    let _relay = lab.danteshm_with(&["--sample-rate=1"]);
    let _dante4l = lab.dante4l(&[]);
    let _leader = lab.leader(&["--ppm=12"]);
    let mut readers = lab.readers();
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    let samples = |readers: &mut Readers| {
        let output = readers.danteshm().expect("danteshm's page").body.outputs()[0];
        (output.samples, output.last_sample_raw_ns)
    };
    let (first, begun) = wait_for("a first sample", EVENT_TIMEOUT, || {
        Some(samples(&mut readers)).filter(|(count, _)| *count > 0)
    });
    std::thread::sleep(Duration::from_secs(8));
    let (last, ended) = samples(&mut readers);
    let written = last - first;
    // Each second with an accepted Sync has one mean. A Sync up to 1/8 s early counts to the next second.
    let clock = readers.clock().expect("dante4l's page").body;
    let accepted = clock.samples_after(0).filter(|sample| sample.accepted == 1);
    let accepted = accepted.filter(|sample| (begun + 1..=ended).contains(&sample.arrived_raw_ns));
    let seconds: BTreeSet<i64> =
        accepted.map(|sample| (sample.arrived_raw_ns - begun + 125_000_000) / 1_000_000_000).collect();
    let expected = seconds.iter().filter(|second| **second > 0).count() as u64;
    println!("{written} samples, {expected} seconds with Syncs, in {:.3} s", (ended - begun) as f64 / 1e9);
    assert!(written.abs_diff(expected) <= 1 && written >= 4, "{written} samples in {expected} seconds");
}

/// danteshm installs its seccomp filter, and imports no function that sets a clock.
#[test]
fn danteshm_cannot_set_a_clock() {
    let stage = Stage::new();
    let unit = format!("--shm={}", stage.unit());
    let relay = stage.start("danteshm", stage.command("danteshm", &[&unit]));
    stage.wait_for("danteshm", "page", "fresh", EVENT_TIMEOUT);
    assert_eq!(proc_status(relay.pid(), "Seccomp"), Some(2), "no filter");
    assert_eq!(proc_status(relay.pid(), "NoNewPrivs"), Some(1));
    // The thread that writes to stdout is older than the filter.
    let threads = std::fs::read_dir(format!("/proc/{}/task", relay.pid())).expect("its threads");
    let filters: Vec<bool> = threads
        .map(|thread| std::fs::read_to_string(thread.expect("a thread").path().join("status")))
        .map(|status| status.expect("its status").contains("Seccomp:\t2\n"))
        .collect();
    assert!(
        filters.len() >= 2 && filters.iter().all(|filter| *filter),
        "threads with the filter: {filters:?}"
    );
    relay.signal(Signal::SIGHUP);
    relay.wait_for_output("the configuration is read at start only", EVENT_TIMEOUT);
    assert!(!relay.output().contains("without the filter"), "{}", relay.output());
    drop(relay);
    // Functions that a program imports from libc. dante2sys shows that nm lists such functions.
    let calls = |program: &str| -> Vec<String> {
        let output = Command::new("nm").args(["-D", "--undefined-only"]).arg(built(program)).output();
        let text = String::from_utf8(output.expect("nm of binutils").stdout).expect("text");
        let names = text.lines().filter_map(|line| line.split_whitespace().last()?.split('@').next());
        let sets =
            ["adjtimex", "ntp_adjtime", "clock_adjtime", "clock_settime", "settimeofday", "stime", "adjtime"];
        names.filter(|name| sets.contains(name)).map(str::to_owned).collect()
    };
    assert!(!calls("dante2sys").is_empty(), "nm lists no function that sets a clock");
    assert_eq!(calls("danteshm"), [""; 0], "danteshm can set a clock");
    assert_eq!(calls("pmc-lite"), [""; 0]);
}
