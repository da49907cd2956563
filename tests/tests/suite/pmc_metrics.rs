//! Output of pmc-lite for monitoring systems, beside real programs in each state of a host: the status by its schema, `check` as
//! Nagios reads it, metrics as the parsers of Prometheus read them.

use dante_core::port::State;
use dante_core::{relay, steer};
use dante_os::ntpshm::NtpShm;
use dante_tests::consumer::{consume, may_consume, status};
use dante_tests::lab::Lab;
use dante_tests::package::sources;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, wait_for, wait_until};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Returns the exit status of pmc-lite and its output on stdout.
fn pmc(stage: &Stage, words: &[&str]) -> (i32, String) {
    let instance = format!("--instance={}", stage.instance());
    let output = stage.command("pmc-lite", words).arg(instance).output().expect("pmc-lite");
    (output.status.code().expect("an exit status"), String::from_utf8(output.stdout).expect("text"))
}

/// Returns the status as its consumer reads it.
fn answer(stage: &Stage) -> Value {
    let (_, json) = pmc(stage, &["get", "status", "--json"]);
    status(&json, &["--strict"]).unwrap_or_else(|error| panic!("{error}\n{json}"))
}

/// Runs `check` and judges its form: one line, a name that fits the exit status, numbers behind the bar.
fn check(stage: &Stage, words: &[&str]) -> (i32, String) {
    let (code, line) = pmc(stage, &[&["check"], words].concat());
    assert_eq!(line.lines().count(), 1, "{line}");
    let name = line.strip_prefix("DANTE ").and_then(|rest| rest.split_once(" - ")).expect("the form").0;
    assert_eq!(
        ["OK", "WARNING", "CRITICAL", "UNKNOWN"].iter().position(|one| *one == name),
        usize::try_from(code).ok()
    );
    let (_, values) = line.trim_end().split_once(" | ").unwrap_or_else(|| panic!("no numbers: {line}"));
    for value in values.split(' ') {
        let (_, rest) = value.split_once('=').expect("label=value");
        let number = rest.split(';').next().expect("a value").trim_end_matches('s');
        let is_plain = number.chars().all(|c| c.is_ascii_digit() || "-.".contains(c));
        assert!(number == "U" || is_plain && number.parse::<f64>().is_ok(), "{value}");
    }
    (code, line)
}

/// Returns the metrics as the parsers of Prometheus read them. Both formats have the same samples.
fn metrics(stage: &Stage) -> Value {
    let (code, text) = pmc(stage, &["metrics"]);
    assert_eq!(code, 0);
    let new =
        consume("metrics.py", &["openmetrics"], &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let (code, text) = pmc(stage, &["metrics", "--format=prometheus"]);
    assert_eq!(code, 0);
    let old = consume("metrics.py", &["prometheus"], &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(names(&new), names(&old));
    for family in new.as_array().expect("families") {
        assert_ne!(family["help"], "", "{family}");
        assert!(["gauge", "counter"].contains(&family["type"].as_str().expect("a type")), "{family}");
    }
    new
}

/// Returns the names of all samples in order.
fn names(families: &Value) -> Vec<String> {
    let samples = families.as_array().expect("families").iter();
    let samples = samples.flat_map(|family| family["samples"].as_array().expect("samples"));
    samples.map(|sample| sample[0].as_str().expect("a name").to_owned()).collect()
}

/// Returns the value of the first sample with these labels.
fn value(families: &Value, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let samples =
        families.as_array()?.iter().flat_map(|family| family["samples"].as_array().expect("samples"));
    let mut found = samples
        .filter(|sample| sample[0] == name && labels.iter().all(|(label, value)| sample[1][label] == *value));
    found.next()?[2].as_f64()
}

#[test]
fn status_check_and_metrics_follow_the_states_of_a_host() {
    let Some(lab) = Lab::new() else { return };
    if !may_consume(&["jsonschema", "prometheus_client"]) {
        return;
    }
    let stage = &lab.stage;

    // Nothing was started.
    assert_eq!(answer(stage)["locked"], false);
    let (code, line) = check(stage, &[]);
    assert_eq!(code, 3, "{line}");
    assert_eq!(value(&metrics(stage), "dante_up", &[("program", "dante4l")]), Some(0.0));

    // No leader.
    let [danteshm, _dante2sys, dante4l] = lab.daemons();
    let mut readers = lab.readers();
    readers.wait_for_port(State::Listening, EVENT_TIMEOUT);
    readers.wait_for_steerer(steer::State::Waiting, EVENT_TIMEOUT);
    readers.wait_for_relay(relay::State::Waiting, EVENT_TIMEOUT);
    let status = answer(stage);
    assert_eq!((&status["locked"], &status["leader"]), (&false.into(), &Value::Null));
    assert!(!status["troubles"].as_array().expect("troubles").is_empty());
    wait_for_check(stage, 2, "dante2sys WAITING");
    let seen = metrics(stage);
    assert_eq!(value(&seen, "dante_port_state", &[("state", "LISTENING")]), Some(1.0));
    assert_eq!(value(&seen, "dante_clock_phase_error_seconds", &[]), None, "unknown values are left out");

    // Synchronised to the leader.
    let leader = lab.leader(&["--ppm=12"]);
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    // danteshm writes to the segment at the next Sync.
    let chronyd = NtpShm::create(stage.unit(), 0o600).expect("the segment");
    wait_until("check OK", EVENT_TIMEOUT, || {
        chronyd.take();
        check(stage, &[]).0 == 0
    });
    judge_locked(&lab);

    // The leader is lost.
    leader.program.kill();
    readers.wait_for_steerer(steer::State::Holdover, EVENT_TIMEOUT);
    readers.wait_for_port(State::Listening, EVENT_TIMEOUT);
    let status = answer(stage);
    assert_eq!(
        (&status["locked"], &status["leader"], &status["off_ns"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
    wait_for_check(stage, 1, "dante2sys HOLDOVER");
    assert_eq!(check(stage, &["--max-age=1"]).0, 2);
    assert_eq!(value(&metrics(stage), "dante_clock_state", &[("state", "HOLDOVER")]), Some(1.0));

    // dante4l is killed, danteshm ends regularly.
    dante4l.kill();
    danteshm.stop();
    stage.wait_for("dante4l", "page", "stale", EVENT_TIMEOUT);
    answer(stage);
    wait_for_check(stage, 2, "dante4l is not running");
    let seen = metrics(stage);
    for (program, up) in [("dante4l", 0.0), ("dante2sys", 1.0), ("danteshm", 0.0)] {
        assert_eq!(value(&seen, "dante_up", &[("program", program)]), Some(up), "{program}");
    }
    assert_eq!(
        value(&seen, "dante_rate_ratio", &[]),
        None,
        "the last values of a killed program are not published"
    );
}

/// Waits until `check` ends with this status and these words.
fn wait_for_check(stage: &Stage, code: i32, words: &str) {
    wait_for(words, EVENT_TIMEOUT, || {
        let (status, line) = check(stage, &[]);
        (status == code && line.contains(words)).then_some(())
    });
}

/// Status, check and metrics of a host that is LOCKED and FEEDING agree.
fn judge_locked(lab: &Lab) {
    let stage = &lab.stage;
    let status = answer(stage);
    assert_eq!((&status["locked"], &status["feeding"]), (&true.into(), &true.into()));
    let uuid = status["leader"].as_str().expect("a leader").to_owned();
    let (code, line) = check(stage, &["--max-offset=50ms", "--max-rate-error=400", "--max-age=60"]);
    assert!(
        code < 2 && line.contains(&format!("dante2sys LOCKED, leader {uuid} at {}", lab.far_address())),
        "{line}"
    );
    // Whether UTC is synchronised on this machine or not, its bound is never below 1 ns.
    assert_eq!(check(stage, &["--max-utc-error=1ns"]).0, 2);
    assert_eq!(check(stage, &["--max-age=1ns"]).0, 2);

    let seen = metrics(stage);
    assert_eq!(
        value(&seen, "dante_leader_info", &[("id", &uuid), ("address", &lab.far_address())]),
        Some(1.0)
    );
    assert_eq!(value(&seen, "dante_clock_state", &[("state", "LOCKED")]), Some(1.0));
    assert_eq!(value(&seen, "dante_relay_state", &[("state", "FEEDING")]), Some(1.0));
    wait_for("a ratio of 12 ppm", EVENT_TIMEOUT, || {
        let rate = value(&metrics(stage), "dante_rate_ratio", &[("interface", "veth0")])?;
        ((rate - 12e-6).abs() < 2e-6).then_some(())
    });
    let interval = value(&seen, "dante_sync_interval_seconds", &[]).expect("an interval");
    assert!((interval - 0.25).abs() < 1e-9, "{interval}");
    let unit = stage.unit().to_string();
    let labels = [("kind", "shm"), ("unit", unit.as_str())];
    assert!(value(&seen, "dante_output_samples_total", &labels).expect("samples") > 0.0);
    // The counter rises.
    let syncs = |seen: &Value| value(seen, "dante_port_events_total", &[("event", "sync")]).expect("Syncs");
    let before = syncs(&seen);
    wait_until("another Sync", EVENT_TIMEOUT, || syncs(&metrics(stage)) > before);
}

/// The status snapshots of pmc-lite are valid by the schema; the consumer rejects invalid ones.
#[test]
fn status_snapshots_match_the_schema() {
    if !may_consume(&["jsonschema"]) {
        return;
    }
    let folder = sources().join("pmc-lite/src/status/snapshots");
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("the snapshots").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a snapshot");
        let json = text.splitn(3, "---\n").last().expect("JSON");
        if let Err(error) = status(json, &["--strict"]) {
            panic!("{}: {error}", entry.path().display());
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen} scenes");

    let path = sources().join("pmc-lite/src/status/snapshots/pmc_lite__status__tests__locked.snap");
    let text = fs::read_to_string(path).expect("a snapshot");
    let locked = text.splitn(3, "---\n").last().expect("JSON");
    for (from, to) in [
        (r#""schema": 2"#, r#""schema": 3"#),
        (r#""page": "fresh""#, r#""page": "mouldy""#),
        (r#""state": "SLAVE""#, r#""state": "MASTER""#),
        (r#""rate_ppb": 12"#, r#""rate_ppb": "12"#),
        (r#""running": true"#, r#""running": 1"#),
    ] {
        let wrong = locked.replacen(from, to, 1);
        assert_ne!(wrong, locked, "{from} is not there");
        assert!(status(&wrong, &[]).is_err(), "{to} is accepted");
    }
    // An unknown key is ignored, and rejected with --strict.
    let newer = locked.replacen(r#""schema": 2"#, r#""schema": 2, "new": 1"#, 1);
    assert!(status(&newer, &[]).is_ok() && status(&newer, &["--strict"]).is_err());
}

#[test]
fn wrong_flags_give_unknown_for_check_and_usage_errors_elsewhere() {
    let stage = Stage::new();
    for words in [
        &["check", "--max-offset=soon"][..],
        &["check", "--no-such-flag"],
        &["check", "--instance=a/b"],
        &["check", "--warn-age=2", "--max-age=1"],
    ] {
        let output = stage.command("pmc-lite", words).output().expect("pmc-lite");
        let line = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(3), "{words:?}: {line}");
        assert!(line.starts_with("DANTE UNKNOWN - ") && line.lines().count() == 1, "{line}");
    }
    stage.run("pmc-lite", &["check", "--help"]).expect(0, &["3 UNKNOWN"]);
    stage.run("pmc-lite", &["metrics", "--format=xml"]).expect(2, &["openmetrics", "prometheus"]);
    stage.run("pmc-lite", &["metrics", "--listen", "--format=prometheus"]).expect(2, &["--format"]);
    stage.run("pmc-lite", &["metrics", "--listen=nowhere"]).expect(2, &["nowhere"]);
    stage.run("pmc-lite", &["metrics", "--output=/proc/none/such"]).expect(1, &["/proc/none/such"]);
}

/// The textfile collector of node_exporter may read the file at any time.
#[test]
fn metrics_file_is_replaced_atomically() {
    if !may_consume(&["prometheus_client"]) {
        return;
    }
    let stage = Stage::new();
    let file = stage.folder().join("dante.prom");
    let instance = format!("--instance={}", stage.instance());
    let output = format!("--output={}", file.display());
    let words = ["metrics", &instance, &output];
    stage.run("pmc-lite", &words).expect(0, &[]);
    let text = fs::read_to_string(&file).expect("the file");
    let seen = consume("metrics.py", &["prometheus"], &text).expect("metrics");
    assert_eq!(value(&seen, "dante_up", &[("program", "dante4l")]), Some(0.0));
    assert!(!text.contains("# EOF"), "{text}");

    let held = fs::File::open(&file).expect("the file");
    stage.run("pmc-lite", &[&words[..], &["--format=openmetrics"]].concat()).expect(0, &[]);
    let mut old = String::new();
    (&held).read_to_string(&mut old).expect("the old text");
    assert_eq!(old, text, "the old file changed while it was open");
    assert!(fs::read_to_string(&file).expect("the file").ends_with("# EOF\n"));
    let left: Vec<_> =
        fs::read_dir(stage.folder()).expect("the folder").flatten().map(|one| one.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

/// Sends these bytes to the exporter and returns its answer.
fn ask(at: &str, request: &[u8]) -> String {
    let mut stream = connect(at);
    // Writing fails if the exporter answers and closes before it has received all bytes.
    _ = stream.write_all(request);
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn connect(at: &str) -> TcpStream {
    let stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(EVENT_TIMEOUT)).expect("a time limit");
    stream
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn exporter_answers_valid_and_rejects_invalid_requests() {
    let stage = Stage::new();
    let (program, at) = stage.exporter(&stage.instance());
    for (request, status, word) in [
        (GET, "200 OK", "dante_up{program=\"dante4l\"} 0"),
        (
            b"GET /metrics?all HTTP/1.0\r\n\r\n",
            "200 OK",
            "application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
        ),
        (b"GET /status.json HTTP/1.1\r\n\r\n", "200 OK", "Content-Type: application/json\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found", "/metrics, the state at /status.json"),
        (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found", "/metrics"),
        (
            b"POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
            "405 Method Not Allowed",
            "Allow: GET, HEAD\r\n",
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 Bad Request", "not a valid HTTP/1.1 request"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", "400 Bad Request", "not a valid HTTP/1.1 request"),
        (b"GET /metrics\r\n\r\n", "400 Bad Request", "not a valid HTTP/1.1 request"),
        (&[b'A'; 20_000], "431 ", "too long"),
        (&[&b"GET /metrics HTTP/1.1\r\n"[..], &b"A: b\r\n".repeat(65), b"\r\n"].concat(), "431 ", "too long"),
    ] {
        let answer = ask(&at, request);
        let request = String::from_utf8_lossy(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
        assert!(answer.contains(word), "{request:?}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    }
    let head = ask(&at, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    // The state is that of `get status --json`.
    let answer = ask(&at, b"GET /status.json HTTP/1.1\r\n\r\n");
    let served: Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a head").1).expect("JSON");
    assert_eq!(served, stage.status());
    // A request in pieces, from a client that then closes its sending side.
    let mut stream = connect(&at);
    for piece in GET.chunks(7) {
        stream.write_all(piece).expect("a piece");
        std::thread::sleep(Duration::from_millis(5));
    }
    stream.shutdown(Shutdown::Write).expect("an end");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("# EOF\n"), "{answer}");

    let port = at.rsplit_once(':').expect("a port").1;
    let listen = format!("--listen=127.0.0.1:{port}");
    stage.run("pmc-lite", &["metrics", &listen]).expect(1, &["listening at 127.0.0.1:", "in use"]);
    program.stop().expect(0, &[]);
}

/// Scrapes in parallel, beside clients that send nothing, only a part of a request, or do not read the answers.
#[test]
fn slow_clients_do_not_delay_other_scrapes() {
    if !may_consume(&["prometheus_client"]) {
        return;
    }
    let stage = Stage::new();
    let (program, at) = stage.exporter(&stage.instance());
    let url = format!("http://{at}/metrics");
    let all = consume("metrics.py", &[&url, "60"], "").expect("60 answers");
    assert_eq!(all.as_array().map(Vec::len), Some(60));

    let begun = Instant::now();
    let slow: Vec<TcpStream> = (0..80)
        .map(|number| {
            let mut stream = connect(&at);
            // No byte, a part of the request, all but the last byte.
            _ = stream.write_all(&GET[..number % GET.len()]);
            stream
        })
        .collect();
    // This client requests far more answers than a socket holds, and reads none.
    let mut reads_nothing = connect(&at);
    for _ in 0..1000 {
        if reads_nothing.write_all(GET).is_err() {
            break;
        }
    }
    let all = consume("metrics.py", &[&url, "20"], "").expect("20 answers");
    let elapsed = begun.elapsed();
    println!("20 answers beside 81 slow clients, {:.2} s after the first of these", elapsed.as_secs_f64());
    assert_eq!(all.as_array().map(Vec::len), Some(20));
    // If the slow clients were served one after the other, each would delay the others by up to 2 s.
    assert!(elapsed < EVENT_TIMEOUT, "20 answers took {elapsed:?}");
    // The slow clients received an error, and their descriptors are closed.
    for mut stream in slow {
        let mut answer = String::new();
        _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", program.pid())).map_or(0, Iterator::count);
    wait_until("closed descriptors", EVENT_TIMEOUT, || descriptors() < 10);
    program.stop().expect(0, &[]);
}
