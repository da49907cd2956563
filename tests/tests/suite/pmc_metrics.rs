//! What monitoring gets of pmc-lite: the status by its schema, `check` as Nagios takes it, metrics as Prometheus' own parsers
//! understand them, on the real programs in every state that a host goes through.

use dante_core::port::State;
use dante_core::{relay, steer};
use dante_tests::consumer::{consume, may_consume, status};
use dante_tests::lab::Lab;
use dante_tests::package::sources;
use dante_tests::stage::Stage;
use dante_tests::{wait_for, wait_until};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// What pmc-lite writes to stdout, and its exit status.
fn pmc(stage: &Stage, words: &[&str]) -> (i32, String) {
    let instance = format!("--instance={}", stage.instance());
    let output = stage.command("pmc-lite", words).arg(instance).output().expect("pmc-lite");
    (output.status.code().expect("an exit status"), String::from_utf8(output.stdout).expect("text"))
}

/// The status as its consumer understands it.
fn answer(stage: &Stage) -> Value {
    let (_, json) = pmc(stage, &["get", "status", "--json"]);
    status(&json, &["--strict"]).unwrap_or_else(|error| panic!("{error}\n{json}"))
}

/// `check`, as a monitoring system takes it: one line, a name and a status that belong together, numbers behind the bar.
fn check(stage: &Stage, words: &[&str]) -> (i32, String) {
    let (code, said) = pmc(stage, &[&["check"], words].concat());
    assert_eq!(said.lines().count(), 1, "{said}");
    let name = said.strip_prefix("DANTE ").and_then(|rest| rest.split_once(" - ")).expect("the form").0;
    assert_eq!(
        ["OK", "WARNING", "CRITICAL", "UNKNOWN"].iter().position(|one| *one == name),
        usize::try_from(code).ok()
    );
    let (_, values) = said.trim_end().split_once(" | ").unwrap_or_else(|| panic!("no numbers: {said}"));
    for value in values.split(' ') {
        let (_, rest) = value.split_once('=').expect("label=value");
        let number = rest.split(';').next().expect("a value").trim_end_matches('s');
        let is_plain = number.chars().all(|c| c.is_ascii_digit() || "-.".contains(c));
        assert!(number == "U" || is_plain && number.parse::<f64>().is_ok(), "{value}");
    }
    (code, said)
}

/// The metrics as Prometheus' parsers understand them: both formats tell the same.
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

/// The names of all samples, in order.
fn names(families: &Value) -> Vec<String> {
    let samples = families.as_array().expect("families").iter();
    let samples = samples.flat_map(|family| family["samples"].as_array().expect("samples"));
    samples.map(|sample| sample[0].as_str().expect("a name").to_owned()).collect()
}

/// The value of a sample whose labels hold these.
fn value(families: &Value, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let samples =
        families.as_array()?.iter().flat_map(|family| family["samples"].as_array().expect("samples"));
    let mut found = samples
        .filter(|sample| sample[0] == name && labels.iter().all(|(label, value)| sample[1][label] == *value));
    found.next()?[2].as_f64()
}

#[test]
fn monitoring_sees_what_becomes_of_a_host() {
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
    let mut eyes = lab.eyes();
    eyes.wait_for_port(State::Listening, PATIENCE);
    eyes.wait_for_steerer(steer::State::Waiting, PATIENCE);
    eyes.wait_for_relay(relay::State::Waiting, PATIENCE);
    let said = answer(stage);
    assert_eq!((&said["locked"], &said["leader"]), (&false.into(), &Value::Null));
    assert!(!said["troubles"].as_array().expect("troubles").is_empty());
    wait_for_check(stage, 2, "dante2sys WAITING");
    let seen = metrics(stage);
    assert_eq!(value(&seen, "dante_port_state", &[("state", "LISTENING")]), Some(1.0));
    assert_eq!(value(&seen, "dante_clock_phase_error_seconds", &[]), None, "what is not known is left out");

    // In step.
    let leader = lab.leader(&["--ppm=12"]);
    eyes.wait_for_steerer(steer::State::Locked, PATIENCE);
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    // chrony's segment is written with the next Sync, and then all is well.
    wait_until("check OK", PATIENCE, || check(stage, &[]).0 == 0);
    judge_locked(&lab);

    // The leader is gone.
    leader.program.kill();
    eyes.wait_for_steerer(steer::State::Holdover, PATIENCE);
    eyes.wait_for_port(State::Listening, PATIENCE);
    let said = answer(stage);
    assert_eq!(
        (&said["locked"], &said["leader"], &said["off_ns"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
    wait_for_check(stage, 1, "dante2sys HOLDOVER");
    assert_eq!(check(stage, &["--max-age=1"]).0, 2);
    assert_eq!(value(&metrics(stage), "dante_clock_state", &[("state", "HOLDOVER")]), Some(1.0));

    // dante4l dies, and danteshm ends in good order.
    dante4l.kill();
    danteshm.stop();
    stage.wait_for("dante4l", "page", "stale", PATIENCE);
    answer(stage);
    wait_for_check(stage, 2, "dante4l does not run");
    let seen = metrics(stage);
    for (program, up) in [("dante4l", 0.0), ("dante2sys", 1.0), ("danteshm", 0.0)] {
        assert_eq!(value(&seen, "dante_up", &[("program", program)]), Some(up), "{program}");
    }
    assert_eq!(value(&seen, "dante_rate_ratio", &[]), None, "what a dead one said last is no longer true");
}

/// The service ends so, and says so, as soon as the pages do.
fn wait_for_check(stage: &Stage, code: i32, words: &str) {
    wait_for(words, PATIENCE, || {
        let said = check(stage, &[]);
        (said.0 == code && said.1.contains(words)).then_some(())
    });
}

/// On a host that is LOCKED and FEEDING all of them tell the same.
fn judge_locked(lab: &Lab) {
    let stage = &lab.stage;
    let said = answer(stage);
    assert_eq!((&said["locked"], &said["feeding"]), (&true.into(), &true.into()));
    let uuid = said["leader"].as_str().expect("a leader").to_owned();
    let (code, line) = check(stage, &["--max-offset=50ms", "--max-rate-error=400", "--max-age=60"]);
    assert!(
        code < 2 && line.contains(&format!("dante2sys LOCKED on {uuid} at {}", lab.far_address())),
        "{line}"
    );
    // Nobody vouches for the clock of a machine that runs tests, or somebody does: it is never right to a nanosecond.
    assert_eq!(check(stage, &["--max-utc-error=1ns"]).0, 2);
    assert_eq!(check(stage, &["--max-age=1ns"]).0, 2);

    let seen = metrics(stage);
    assert_eq!(
        value(&seen, "dante_leader_info", &[("id", &uuid), ("address", &lab.far_address())]),
        Some(1.0)
    );
    assert_eq!(value(&seen, "dante_clock_state", &[("state", "LOCKED")]), Some(1.0));
    assert_eq!(value(&seen, "dante_relay_state", &[("state", "FEEDING")]), Some(1.0));
    wait_for("a ratio of 12 ppm", PATIENCE, || {
        let rate = value(&metrics(stage), "dante_rate_ratio", &[("interface", "veth0")])?;
        ((rate - 12e-6).abs() < 2e-6).then_some(())
    });
    let interval = value(&seen, "dante_sync_interval_seconds", &[]).expect("an interval");
    assert!((interval - 0.25).abs() < 1e-9, "{interval}");
    let unit = stage.unit().to_string();
    let labels = [("kind", "shm"), ("unit", unit.as_str())];
    assert!(value(&seen, "dante_output_samples_total", &labels).expect("samples") > 0.0);
    // It goes on from one look to the next.
    let syncs = |seen: &Value| value(seen, "dante_port_events_total", &[("event", "sync")]).expect("Syncs");
    let before = syncs(&seen);
    wait_until("another Sync", PATIENCE, || syncs(&metrics(stage)) > before);
}

/// Every made-up scene is what the schema says, and what is not is found out.
#[test]
fn every_scene_is_what_the_schema_says() {
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
        assert!(status(&wrong, &[]).is_err(), "{to} passes for right");
    }
    // A key that was added is overlooked, unless it is looked for.
    let newer = locked.replacen(r#""schema": 2"#, r#""schema": 2, "new": 1"#, 1);
    assert!(status(&newer, &[]).is_ok() && status(&newer, &["--strict"]).is_err());
}

#[test]
fn wrong_flags_are_unknown_to_a_monitoring_system_and_an_error_to_a_shell() {
    let stage = Stage::new();
    for words in [
        &["check", "--max-offset=soon"][..],
        &["check", "--no-such-flag"],
        &["check", "--instance=a/b"],
        &["check", "--warn-age=2", "--max-age=1"],
    ] {
        let output = stage.command("pmc-lite", words).output().expect("pmc-lite");
        let said = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(3), "{words:?}: {said}");
        assert!(said.starts_with("DANTE UNKNOWN - ") && said.lines().count() == 1, "{said}");
    }
    stage.run("pmc-lite", &["check", "--help"]).expect(0, &["3 UNKNOWN"]);
    stage.run("pmc-lite", &["metrics", "--format=xml"]).expect(2, &["openmetrics", "prometheus"]);
    stage.run("pmc-lite", &["metrics", "--listen", "--format=prometheus"]).expect(2, &["--format"]);
    stage.run("pmc-lite", &["metrics", "--listen=nowhere"]).expect(2, &["nowhere"]);
    stage.run("pmc-lite", &["metrics", "--output=/proc/none/such"]).expect(1, &["/proc/none/such"]);
}

/// For node_exporter's textfile collector, which may look at any time.
#[test]
fn a_file_is_replaced_at_once() {
    if !may_consume(&["prometheus_client"]) {
        return;
    }
    let stage = Stage::new();
    let file = stage.folder().join("dante.prom");
    let words = ["metrics".to_owned(), format!("--output={}", file.display())];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.run("pmc-lite", &words).expect(0, &[]);
    let text = fs::read_to_string(&file).expect("the file");
    let seen = consume("metrics.py", &["prometheus"], &text).expect("metrics");
    assert_eq!(value(&seen, "dante_up", &[("program", "dante4l")]), Some(0.0));
    assert!(!text.contains("# EOF"), "{text}");

    let held = fs::File::open(&file).expect("the file");
    stage.run("pmc-lite", &[&words[..], &["--format=openmetrics"]].concat()).expect(0, &[]);
    let mut old = String::new();
    (&held).read_to_string(&mut old).expect("the old text");
    assert_eq!(old, text, "who reads the old file reads it to its end");
    assert!(fs::read_to_string(&file).expect("the file").ends_with("# EOF\n"));
    let left: Vec<_> =
        fs::read_dir(stage.folder()).expect("the folder").flatten().map(|one| one.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

/// What is answered to these bytes.
fn ask(at: &str, request: &[u8]) -> String {
    let mut stream = connect(at);
    // Who is answered before it has said all finds its end closed.
    _ = stream.write_all(request);
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn connect(at: &str) -> TcpStream {
    let stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn the_exporter_answers_each_as_it_asks() {
    let stage = Stage::new();
    let (program, at) = stage.exporter(&stage.instance());
    for (request, status, word) in [
        (GET, "200 OK", "dante_up{program=\"dante4l\"} 0"),
        (
            b"GET /metrics?all HTTP/1.0\r\n\r\n",
            "200 OK",
            "application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
        ),
        (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found", "/metrics"),
        (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found", "/metrics"),
        (
            b"POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
            "405 Method Not Allowed",
            "Allow: GET, HEAD\r\n",
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 Bad Request", "no request"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", "400 Bad Request", "no request"),
        (b"GET /metrics\r\n\r\n", "400 Bad Request", "no request"),
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
    // In pieces; and by one who closes his end at once.
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

/// Many at once, among others who say nothing, or nothing more, or do not read.
#[test]
fn the_exporter_keeps_nobody_waiting_for_others() {
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
            // Nothing, a part, all but the last byte.
            _ = stream.write_all(&GET[..number % GET.len()]);
            stream
        })
        .collect();
    // Far more answers than a socket holds, which this one does not read.
    let mut deaf = connect(&at);
    for _ in 0..1000 {
        if deaf.write_all(GET).is_err() {
            break;
        }
    }
    let all = consume("metrics.py", &[&url, "20"], "").expect("20 answers");
    println!("20 answers among 81 others, {:.2} s after these began", begun.elapsed().as_secs_f64());
    assert_eq!(all.as_array().map(Vec::len), Some(20));
    // They were told, and their places are free.
    for mut stream in slow {
        let mut answer = String::new();
        _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", program.pid())).map_or(0, Iterator::count);
    wait_until("free places", PATIENCE, || descriptors() < 10);
    program.stop().expect(0, &[]);
}
