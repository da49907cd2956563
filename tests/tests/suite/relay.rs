//! danteshm's other outputs and its own limits, with the real programs: usrvclock, the date that it waits for, the filter.

use dante_core::port::State;
use dante_core::relay;
use dante_core::time::{Raw, Timestamp, Uncertainty};
use dante_core::track::KernelSync;
use dante_os::clock::raw_now;
use dante_tests::lab::{Lab, proc_status};
use dante_tests::ntp::{Behaviour, NtpServer};
use dante_tests::program::built;
use dante_tests::stage::Stage;
use dante_tests::{wait_for, wait_until};
use nix::sys::signal::Signal;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A program that reads its clock from a usrvclock, by the published form alone.
struct Client {
    socket: UnixDatagram,
    server: PathBuf,
}

/// What it was told last.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Told {
    last_sync: i64,
    shift: i64,
    freq_scale: f64,
}

impl Client {
    fn new(server: &Path, own: &Path) -> Self {
        let socket = UnixDatagram::bind(own).expect("a socket of the client's own");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        Self { socket, server: server.into() }
    }

    fn register(&self) {
        self.socket.send_to(&[], &self.server).expect("registering");
    }

    fn next(&self) -> Told {
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
        Told { last_sync: int(16), shift: int(24), freq_scale: f64::from_ne_bytes(eight(32)) }
    }
}

impl Told {
    /// overlay(t) = t + shift + round((t - last_sync) * freq_scale)
    #[expect(clippy::cast_possible_truncation, reason = "a small product")]
    fn overlay(&self, raw: i64) -> i64 {
        raw + self.shift + ((raw - self.last_sync) as f64 * self.freq_scale).round() as i64
    }
}

#[test]
fn a_usrvclock_tells_dantes_own_time_also_through_holdover() {
    let Some(lab) = Lab::new() else { return };
    let path = lab.stage.folder().join("usrvclock");
    let relay = lab.danteshm_with(&[&format!("--usrvclock={}", path.display()), "--usrvclock-perm=600"]);
    let dante4l = lab.dante4l(&[]);
    let leader = lab.leader(&["--ppm=12", "--uptime=700"]);
    let (truth, mut eyes) = (leader.truth(), lab.eyes());
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    std::thread::sleep(Duration::from_secs(5));

    let client = Client::new(&path, &lab.stage.folder().join("client"));
    client.register();
    let asked = Instant::now();
    let told = client.next();
    println!("answered after {:.3} ms", asked.elapsed().as_secs_f64() * 1e3);
    // What the page says, and what is so.
    let now = raw_now();
    let map = eyes.map().expect("a map");
    let Uncertainty { offset, .. } = map.uncertainty_at(now);
    let off = told.overlay(now.ns()) - map.dante_at(now).ns();
    println!("overlay - map {off} ns, which is good to {} ns", offset.ns());
    assert!(off.abs() <= 5_000, "{told:?}: {off} ns off the page's map");
    let error = told.overlay(now.ns()) - truth.at(now).ns();
    println!("overlay - truth {error} ns, less by the delay of the way");
    assert!(error.abs() < 1_000_000, "it is not Dante's own time: {error} ns");

    // At least once a second; here with each Sync.
    let times: Vec<Instant> = (0..12).map(|_| (client.next(), Instant::now()).1).collect();
    let mut gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort();
    // The machine may have been held up once.
    assert!(gaps[gaps.len() - 2] < Duration::from_secs(1), "{gaps:?}");
    let status = lab.stage.status();
    let output = &status["danteshm"]["outputs"][1];
    assert_eq!((&output["kind"], &output["clients"]), (&"usrvclock".into(), &1.into()), "{output}");
    assert_eq!(output["path"], path.display().to_string());

    // The leader falls silent, and dante4l dies: the last overlay is told on.
    leader.program.signal(Signal::SIGSTOP);
    eyes.wait_for_port(State::Listening, PATIENCE);
    dante4l.kill();
    eyes.wait_for_relay(relay::State::Waiting, PATIENCE);
    std::thread::sleep(Duration::from_secs(1));
    client.socket.set_nonblocking(true).expect("not waiting");
    while client.socket.recv(&mut [0; 64]).is_ok() {}
    client.socket.set_nonblocking(false).expect("waiting");
    let begun = Instant::now();
    let held = client.next();
    assert_eq!((client.next(), client.next()), (held, held), "holdover is one line");
    let took = begun.elapsed();
    assert!((Duration::from_millis(1700)..Duration::from_secs(20)).contains(&took), "{took:?} for three");
    let error = held.overlay(raw_now().ns()) - truth.at(raw_now()).ns();
    println!("after some seconds of holdover overlay - truth {error} ns");
    assert!(error.abs() < 1_000_000, "{error} ns");

    // A client that comes now is answered at once; one that went is forgotten.
    let late = Client::new(&path, &lab.stage.folder().join("late"));
    late.register();
    assert_eq!(late.next(), held);
    drop(client);
    wait_for("one client", PATIENCE, || (eyes.danteshm()?.body.outputs()[1].clients == 1).then_some(()));
    relay.stop().expect(0, &[]);
    assert!(!path.exists(), "the socket is left behind");
}

/// A folder that is full or not there: it is said, samples go to the segment, and the socket comes when there is room.
#[test]
fn a_usrvclock_without_room_harms_no_other_output() {
    let Some(lab) = Lab::new() else { return };
    let folder = lab.stage.folder().join("full");
    std::fs::create_dir(&folder).expect("a folder");
    // Seen by that program alone: `ip netns exec` gives it mounts of its own.
    let mut command = lab.near.command("sh");
    let script = "mount -t tmpfs -o nr_inodes=1 full \"$1\" && shift && exec \"$@\"";
    command.args(["-c", script, "sh"]).arg(&folder).arg(built("danteshm"));
    command.arg(format!("--shm={}", lab.stage.unit())).arg("--epoch=now");
    command.arg(format!("--usrvclock={}", folder.join("clock").display())).args(lab.stage.daemon_words());
    let relay = lab.stage.start("danteshm", command);
    let _dante4l = lab.dante4l(&[]);
    let _leader = lab.leader(&["--ppm=12"]);
    let mut eyes = lab.eyes();
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    let said = relay.output();
    assert!(said.contains("usrvclock") && said.contains("No space left"), "{said}");
    let ready: Vec<u8> =
        eyes.danteshm().expect("its page").body.outputs().iter().map(|output| output.ready).collect();
    assert_eq!(ready, [1, 0]);
    // A folder that comes later.
    let later = lab.stage.folder().join("later");
    let path = later.join("clock");
    let other = lab.stage.unit() + 1;
    relay.stop().expect(0, &[]);
    let words = [format!("--shm={other}"), "--epoch=now".into(), format!("--usrvclock={}", path.display())];
    let relay = lab.start("danteshm", &words.each_ref().map(String::as_str));
    relay.wait_for_output("No such file", PATIENCE);
    std::fs::create_dir(&later).expect("a folder");
    wait_until("the socket", PATIENCE, || path.exists());
    relay.stop().expect(0, &[]);
    _ = dante_os::ntpshm::NtpShm::remove(other);
}

/// A K from a clock that nobody keeps would be a wrong date. dante2sys may know one.
#[test]
fn k_waits_for_a_date() {
    let Some(lab) = Lab::new() else { return };
    let unit = format!("--shm={}", lab.stage.unit());
    let relay = lab.start("danteshm", &[&unit]);
    let _both = lab.following(&["--ppm=12"], &[]);
    let mut eyes = lab.eyes();
    // What the kernel of this machine says is not ours to choose; dante4l is to tell it.
    let word = eyes.dante4l().expect("dante4l's page").body.kernel_sync().expect("the kernel's word");
    println!("the kernel says: {word:?}");
    if matches!(word, KernelSync::Synchronised(_)) {
        eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
        assert!(
            relay.output().contains("from the system clock, which is synchronised"),
            "{}",
            relay.output()
        );
        return;
    }
    lab.stage.wait_for("danteshm", "waiting_for", "utc", PATIENCE);
    assert_eq!(relay.output().matches("rtcsync").count(), 1, "said once: {}", relay.output());
    let samples = eyes.danteshm().expect("danteshm's page").body.outputs()[0].samples;
    assert_eq!((samples, lab.stage.screen().contains("not known to be synchronised")), (0, true));
    // A dante2sys that has no date has a K, which is none either.
    let plain = lab.dante2sys();
    eyes.wait_for_steerer(dante_core::steer::State::Locked, PATIENCE);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(eyes.danteshm().expect("danteshm's page").body.state(), Some(relay::State::Waiting));
    plain.stop().expect(0, &[]);
    // One that knows the date by a server on the other end of the cable.
    let ahead = 300_000_000;
    let _server = NtpServer::start(&lab.far, Behaviour { offset_ns: ahead, ..Behaviour::default() });
    let server = format!("--ntp-server={}", lab.far_address());
    let _dante2sys = lab.start("dante2sys", &["--clock=virtual", "--ntp-min-interval=4", &server]);
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    assert!(relay.output().contains("from dante2sys' K"), "{}", relay.output());
    let status = lab.stage.status();
    assert_eq!(status["danteshm"]["epoch_source"], "dante2sys");
    let reader = dante_os::ntpshm::NtpShmReader::attach(lab.stage.unit()).expect("the segment");
    let sample = wait_for("a sample", PATIENCE, || reader.read()).0;
    let off = (sample.reference - sample.received).ns() - ahead;
    println!("the date told is {off} ns off the server's");
    assert!(off.abs() < 20_000_000, "the date told is not the server's: {off} ns off");
}

/// One mean a second, each between two Syncs and not on one.
#[test]
fn a_rate_of_one_means_one_sample_a_second() {
    let Some(lab) = Lab::new() else { return };
    let _relay = lab.danteshm_with(&["--sample-rate=1"]);
    let _dante4l = lab.dante4l(&[]);
    let _leader = lab.leader(&["--ppm=12"]);
    let mut eyes = lab.eyes();
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    let samples = |eyes: &mut dante_tests::lab::Eyes| {
        let output = eyes.danteshm().expect("danteshm's page").body.outputs()[0];
        (output.samples, Timestamp::<Raw>::from_ns(output.last_sample_raw_ns))
    };
    let (first, begun) =
        wait_for("a first sample", PATIENCE, || Some(samples(&mut eyes)).filter(|(count, _)| *count > 0));
    std::thread::sleep(Duration::from_secs(8));
    let (last, ended) = samples(&mut eyes);
    let written = last - first;
    let seconds: dante_core::time::Duration = ended - begun;
    println!("{written} samples in {:.3} s", seconds.secs_f64());
    // A second in which the machine was held up has none.
    let fewer = seconds.secs_f64() - written as f64;
    assert!((-0.6..2.6).contains(&fewer) && written >= 6, "{written}");
}

/// danteshm's own filter, and a program that has no call in it to be filtered.
#[test]
fn danteshm_cannot_set_a_clock() {
    let stage = Stage::new();
    let unit = format!("--shm={}", stage.unit());
    let relay = stage.start("danteshm", stage.command("danteshm", &[&unit]));
    stage.wait_for("danteshm", "page", "fresh", PATIENCE);
    assert_eq!(proc_status(relay.pid(), "Seccomp"), Some(2), "no filter");
    assert_eq!(proc_status(relay.pid(), "NoNewPrivs"), Some(1));
    assert!(!relay.output().contains("without it"), "{}", relay.output());
    drop(relay);
    // What a program takes from libc: dante2sys shows that such a call would be seen.
    let calls = |program: &str| -> Vec<String> {
        let output = Command::new("nm").args(["-D", "--undefined-only"]).arg(built(program)).output();
        let text = String::from_utf8(output.expect("nm of binutils").stdout).expect("text");
        let names = text.lines().filter_map(|line| line.split_whitespace().last()?.split('@').next());
        let sets =
            ["adjtimex", "ntp_adjtime", "clock_adjtime", "clock_settime", "settimeofday", "stime", "adjtime"];
        names.filter(|name| sets.contains(name)).map(str::to_owned).collect()
    };
    assert!(!calls("dante2sys").is_empty(), "nm shows nothing: this proves nothing");
    assert_eq!(calls("danteshm"), [""; 0], "danteshm could ask for it");
    assert_eq!(calls("pmc-lite"), [""; 0]);
}
