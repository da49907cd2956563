use super::*;

fn args(words: &[&str]) -> Result<Args, clap::Error> {
    Args::try_parse_from(["dante2sys"].iter().chain(words))
}

#[test]
fn servers_are_the_default_source_of_utc() {
    let source = |words: &[&str]| args(words).unwrap().utc_source();
    assert_eq!(source(&[]), UtcSource::None);
    assert_eq!(source(&["--ntp-server", "a", "--ntp-server=b:1123"]), UtcSource::Ntp);
    assert_eq!(source(&["--utc=leader"]), UtcSource::Leader);
    assert_eq!(source(&["--utc=none"]), UtcSource::None);
}

#[test]
fn rejects_invalid_server_names() {
    for wrong in ["ntp1 ntp2", "host:", "host:0", "host:99999", "[::1", ""] {
        let error = args(&["--ntp-server", wrong]).unwrap_err().to_string();
        assert!(error.contains("is not a server name: write host, host:port or [v6]:port"), "{error}");
    }
    assert_eq!(args(&["--ntp-server=[::1]:123"]).unwrap().ntp_servers, ["[::1]:123"]);
}

#[test]
fn rejects_conflicting_flags() {
    let error = |words: &[&str]| args(words).unwrap().check().err();
    assert_eq!(error(&[]), None);
    assert_eq!(error(&["--ntp-server=a"]), None);
    assert!(error(&["--utc=ntp"]).unwrap().contains("--ntp-server HOST"));
    assert!(error(&["--utc=leader", "--ntp-server=a"]).unwrap().contains("needs --utc ntp"));
    assert!(error(&["-c", "/dev/ptp0", "--ntp-server=a"]).unwrap().contains("hardware clock"));
    assert!(error(&["--ntp-server=a"; 9]).unwrap().contains("eight"));
}

#[test]
fn clock_is_a_name_or_a_path() {
    assert_eq!(args(&[]).unwrap().clock, Clock::Realtime);
    assert_eq!(args(&["-c", "virtual"]).unwrap().clock, Clock::Virtual);
    assert_eq!(args(&["--clock=/dev/ptp1"]).unwrap().clock, Clock::Hardware("/dev/ptp1".into()));
    assert!(args(&["-c", "eth0"]).unwrap_err().to_string().contains("/dev/ptp0"));
}

#[test]
fn only_the_system_clock_has_an_rtc_and_a_default_drift_file() {
    let both = |words: &[&str]| {
        let args = args(words).unwrap();
        (args.rtc_mode(), args.drift_path())
    };
    assert_eq!(both(&[]), (RtcMode::Device, Some("/var/lib/dante2sys/drift".into())));
    assert_eq!(both(&["--instance=b"]).1, Some("/var/lib/dante2sys/drift.b".into()));
    assert_eq!(both(&["-c", "virtual"]), (RtcMode::Off, None));
    assert_eq!(both(&["-c", "virtual", "--drift-file=/tmp/d"]).1, Some("/tmp/d".into()));
    assert_eq!(both(&["--rtc=kernel"]).0, RtcMode::Kernel);
}

#[test]
fn numbers_stay_within_bounds() {
    for wrong in
        ["--max-slew=0", "--max-slew=501", "--max-frequency=NaN", "--max-frequency=-5", "--rt-priority=100"]
    {
        assert!(args(&[wrong]).is_err(), "{wrong}");
    }
    let limit = |words: &[&str], of| args(words).unwrap().limits(Ratio::from_ppm(of)).frequency.ppm().round();
    assert_eq!(limit(&[], 500.0), 490.0);
    assert_eq!(limit(&[], 62.0), 62.0);
    assert_eq!(limit(&["--max-frequency=100"], 500.0), 100.0);
    let max_error = |words: &[&str]| args(words).unwrap().rules(Timestamp::from_ns(0)).max_error;
    assert_eq!(max_error(&["--max-utc-error=3"]), Duration::from_secs(3));
    assert_eq!(max_error(&["--max-utc-error=15"]), Duration::from_secs(15));
    assert!(args(&["--max-utc-error=16"]).unwrap().check().is_err(), "the kernel's limit is 16 s");
}
