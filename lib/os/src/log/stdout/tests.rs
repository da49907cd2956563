use super::*;
use std::io::{BufRead, BufReader, Read, pipe};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn pipe_that_nobody_reads_blocks_no_line_and_the_lost_ones_are_stated() {
    let (output, input) = pipe().unwrap();
    let stdout = Stdout::start("dante4l", input).unwrap();
    // A pipe takes 64 KiB by default.
    let count = 20_000;
    (0..count).for_each(|n| stdout.send(format!("line {n}")));
    stdout.finish(Duration::from_millis(1));
    let mut lines = BufReader::new(output).lines().map(Result::unwrap);
    // A statement stands where its lines are missing: the number of the next line is known.
    let (mut next, mut written) = (0, 0);
    while next < count {
        let line = lines.next().unwrap();
        match line.split_once("]: lines of this log lost, as stdout did not accept them: ") {
            Some((_, lost)) => next += lost.parse::<usize>().unwrap(),
            None => {
                assert_eq!(line, format!("line {next}"));
                (next, written) = (next + 1, written + 1);
            }
        }
    }
    assert!((MAX_LINES..count).contains(&written), "{written} lines");
    stdout.send("after".into());
    assert_eq!(lines.next().unwrap(), "after");
}

#[test]
fn end_waits_for_lines_that_are_read() {
    let (mut output, input) = pipe().unwrap();
    let stdout = Stdout::start("dante4l", input).unwrap();
    (0..100).for_each(|n| stdout.send(format!("{n:03}")));
    stdout.finish(LONG);
    let mut bytes = [0; 400];
    output.read_exact(&mut bytes).unwrap();
    assert!(bytes.ends_with(b"098\n099\n"));
}

/// An output that fails for a while.
struct Failing {
    fails: Arc<Mutex<bool>>,
    written: Arc<Mutex<String>>,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self.fails.lock().unwrap() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.written.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn closed_output_loses_lines_and_ends_nothing() {
    let (fails, written) = (Arc::new(Mutex::new(true)), Arc::new(Mutex::new(String::new())));
    let to = Failing { fails: Arc::clone(&fails), written: Arc::clone(&written) };
    let stdout = Stdout::start("dante4l", to).unwrap();
    (0..3).for_each(|_| stdout.send("lost".into()));
    stdout.finish(LONG);
    *fails.lock().unwrap() = false;
    stdout.send("written".into());
    stdout.finish(LONG);
    let text = written.lock().unwrap().clone();
    assert!(text.starts_with("dante4l["), "{text}");
    assert!(
        text.ends_with("]: lines of this log lost, as stdout did not accept them: 3\nwritten\n"),
        "{text}"
    );
}
