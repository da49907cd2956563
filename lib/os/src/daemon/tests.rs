use super::*;
use clap::Parser;
use std::ffi::OsString;
use std::io::Write;

#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[arg(short, long)]
    interface: Option<String>,
    #[arg(long, default_value_t = 319)]
    event_port: u16,
    #[arg(long)]
    no_wait: bool,
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "dante4l";
    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

fn with_file(text: &str, flags: &[&str]) -> Result<Args, String> {
    let dir =
        std::env::temp_dir().join(format!("dante-config-{}-{:x}", std::process::id(), random().unwrap()));
    std::fs::create_dir(&dir).unwrap();
    let path = dir.join("suite.toml");
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let mut words = vec!["dante4l".to_owned(), "-f".to_owned(), path.display().to_string()];
    words.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let result = config::merged::<Args>(words.into_iter().map(OsString::from).collect());
    let shown = result.map_err(|error| error.to_string().replace(&format!("{}/", dir.display()), ""));
    std::fs::remove_dir_all(&dir).unwrap();
    shown
}

#[test]
fn a_key_is_its_flag_and_the_command_line_wins() {
    let text =
        "[dante4l]\ninterface = \"eth0\"\nevent-port = 5319\nno-wait = true\n[dante2sys]\nwhatever = 1\n";
    let args = with_file(text, &["-i", "eth1"]).unwrap();
    assert_eq!((args.interface.as_deref(), args.event_port, args.no_wait), (Some("eth1"), 5319, true));
    let args = with_file("[dante4l]\nno-wait = false\n", &[]).unwrap();
    assert_eq!((args.interface, args.no_wait), (None, false));
    assert!(with_file("", &[]).is_ok());
}

#[test]
fn mistakes_are_told_with_file_line_and_the_key_meant() {
    let error = |text: &str| with_file(text, &[]).unwrap_err();
    let unknown = error("# x\n[dante4l]\nintreface = \"eth0\"\n");
    assert_eq!(unknown, "suite.toml:3: unknown key intreface; did you mean interface?");
    let bad = error("[dante4l]\n\nevent-port = 70000\n");
    assert!(bad.starts_with("suite.toml:3: invalid value '70000' for 'event-port <EVENT_PORT>'"), "{bad}");
    let section = error("[dante4]\ninterface = \"x\"\n");
    assert!(section.starts_with("suite.toml:1: unknown section [dante4]; sections are dante4l"), "{section}");
    let quotes = error("[dante4l]\ninterface = eth0\n");
    assert!(quotes.starts_with("suite.toml:2: "), "{quotes}");
    let only = error("[dante4l]\nconfig = \"/x\"\n");
    assert_eq!(only, "suite.toml:2: config is a flag of the command line only");
    let table = error("[dante4l]\ninterface = { a = 1 }\n");
    assert!(table.contains(":2: interface wants a text"), "{table}");
    assert!(error("dante4l = 3\n").contains("is a section"));
}

#[test]
fn a_missing_file_is_told() {
    let words = ["dante4l", "-f", "/nowhere/suite.toml"].map(OsString::from).to_vec();
    let error = config::merged::<Args>(words).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nowhere/suite.toml: No such file"), "{error}");
}
