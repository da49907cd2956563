use super::*;

fn args(words: &[&str]) -> Result<Args, clap::Error> {
    Args::try_parse_from(["dante2sys"].iter().chain(words))
}

#[test]
fn the_date_comes_from_the_servers_where_there_are_any() {
    let source = |words: &[&str]| args(words).unwrap().utc_source();
    assert_eq!(source(&[]), UtcSource::None);
    assert_eq!(source(&["--ntp-server", "a", "--ntp-server=b:1123"]), UtcSource::Ntp);
    assert_eq!(source(&["--utc=leader"]), UtcSource::Leader);
    assert_eq!(source(&["--utc=none"]), UtcSource::None);
}

#[test]
fn a_server_is_one_name() {
    for wrong in ["ntp1 ntp2", "host:", "host:0", "host:99999", "[::1", ""] {
        let said = args(&["--ntp-server", wrong]).unwrap_err().to_string();
        assert!(said.contains("is no server: write host, host:port or [v6]:port"), "{said}");
    }
    assert_eq!(args(&["--ntp-server=[::1]:123"]).unwrap().ntp_servers, ["[::1]:123"]);
}

#[test]
fn flags_that_do_not_fit_together_are_told() {
    let told = |words: &[&str]| args(words).unwrap().check().err();
    assert_eq!(told(&[]), None);
    assert_eq!(told(&["--ntp-server=a"]), None);
    assert!(told(&["--utc=ntp"]).unwrap().contains("--ntp-server HOST"));
    assert!(told(&["--utc=leader", "--ntp-server=a"]).unwrap().contains("of no use"));
    assert!(told(&["-c", "/dev/ptp0", "--ntp-server=a"]).unwrap().contains("hardware clock"));
    assert!(told(&["--ntp-server=a"; 9]).unwrap().contains("eight"));
}

#[test]
fn clocks_by_name_and_path() {
    assert_eq!(args(&[]).unwrap().clock, Clock::Realtime);
    assert_eq!(args(&["-c", "virtual"]).unwrap().clock, Clock::Virtual);
    assert_eq!(args(&["--clock=/dev/ptp1"]).unwrap().clock, Clock::Hardware("/dev/ptp1".into()));
    assert!(args(&["-c", "eth0"]).unwrap_err().to_string().contains("/dev/ptp0"));
}

#[test]
fn only_the_system_clock_has_an_rtc_and_a_drift_file_of_its_own() {
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
fn bounds_are_held() {
    for wrong in
        ["--max-slew=0", "--max-slew=501", "--max-frequency=NaN", "--max-frequency=-5", "--rt-priority=100"]
    {
        assert!(args(&[wrong]).is_err(), "{wrong}");
    }
    let limit = |words: &[&str], of| args(words).unwrap().limits(Ratio::from_ppm(of)).frequency.ppm().round();
    assert_eq!(limit(&[], 500.0), 490.0);
    assert_eq!(limit(&[], 62.0), 62.0);
    assert_eq!(limit(&["--max-frequency=100"], 500.0), 100.0);
}
