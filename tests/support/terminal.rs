//! The program in a pseudo-terminal, seen as a person sees it.
//!
//! Everything that the program writes goes through a terminal emulator. What the screen showed after
//! each piece of output is remembered, so that a test can ask for words that were there for a moment
//! only. Whatever runs is killed when the [`Terminal`] is dropped.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use super::{DEADLINE, alone, raftian_variables};

/// A terminal with the program in it.
pub struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
    hangs_up: Arc<AtomicBool>,
    started: Instant,
    /// The line settings before the program started.
    settings: String,
}

/// What came out of the program.
struct Seen {
    parser: vt100::Parser,
    /// Every byte.
    bytes: Vec<u8>,
    /// The text of the screen whenever it had changed, with the time.
    frames: Vec<(Instant, String)>,
}

/// A moment in the history of a screen.
#[derive(Clone, Copy)]
pub struct Mark(usize);

impl Terminal {
    /// Starts the program in that folder, in a terminal of 80x24 with 256 colours.
    pub fn start(dir: &Path, arguments: &[&str]) -> Terminal {
        Terminal::start_with(dir, arguments, &[])
    }

    /// The same with more variables.
    pub fn start_with(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
        let program = env!("CARGO_BIN_EXE_raftian");
        Terminal::of(program, dir, arguments, variables)
    }

    /// Any program in such a terminal.
    pub fn of(
        program: &str,
        dir: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Terminal {
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.cwd(dir);
        for name in raftian_variables() {
            command.env_remove(name);
        }
        command.env_remove("NO_COLOR");
        command.env_remove("COLORTERM");
        command.env("TERM", "xterm-256color");
        for (name, value) in variables {
            command.env(name, value);
        }
        let alone = alone();
        let pty = native_pty_system().openpty(PtySize::default()).unwrap();
        let settings = settings(&*pty.master);
        let started = Instant::now();
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        drop(alone);

        let seen = Arc::new(Mutex::new(Seen {
            parser: vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0),
            bytes: Vec::new(),
            frames: Vec::new(),
        }));
        let hangs_up = Arc::new(AtomicBool::new(false));
        let mut source = pty.master.try_clone_reader().unwrap();
        let reader = thread::spawn({
            let (seen, over) = (Arc::clone(&seen), Arc::clone(&hangs_up));
            move || {
                let mut bytes = [0; 64 * 1024];
                while let Ok(len @ 1..) = source.read(&mut bytes)
                    && !over.load(Ordering::SeqCst)
                {
                    seen.lock().unwrap().take_in(&bytes[..len]);
                }
            }
        });
        Terminal {
            writer: Some(pty.master.take_writer().unwrap()),
            master: Some(pty.master),
            child,
            seen,
            reader: Some(reader),
            hangs_up,
            started,
            settings,
        }
    }

    /// Presses keys.
    pub fn keys(&mut self, keys: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Clicks on the first cell of those words.
    pub fn click(&mut self, words: &str) {
        let text = self.text();
        let (row, line) = (1..)
            .zip(text.lines())
            .find(|(_, line)| line.contains(words))
            .unwrap();
        let column = 1 + line[..line.find(words).unwrap()].chars().count();
        self.keys(&format!("\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m"));
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.process_id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Gives the terminal another size.
    pub fn resize(&self, cols: u16, rows: u16) {
        let mut seen = self.lock();
        let (r, c) = (rows.try_into().unwrap(), cols.try_into().unwrap());
        seen.parser.screen_mut().set_size(r, c);
        drop(seen);
        self.resize_line(cols, rows);
    }

    /// The same for the program alone; no emulator has a size of 0.
    pub fn resize_line(&self, cols: u16, rows: u16) {
        let size = PtySize {
            rows,
            cols,
            ..PtySize::default()
        };
        self.master.as_ref().unwrap().resize(size).unwrap();
    }

    /// Puts a new terminal of that size behind the same line, as `docker attach` does, which lets the
    /// program know by another size for a moment.
    pub fn replace(&self, cols: u16, rows: u16) {
        let (r, c) = (rows.try_into().unwrap(), cols.try_into().unwrap());
        let mut seen = self.lock();
        seen.parser = vt100::Parser::new(r, c, 0);
        // What the former one showed is not to be found on this one.
        seen.frames.push((Instant::now(), String::new()));
        drop(seen);
        self.resize(cols + 1, rows + 1);
        self.resize(cols, rows);
    }

    /// Closes the terminal.
    ///
    /// The reader has a handle of its own and lets go of it once the program has written something:
    /// the help makes it do so.
    pub fn hang_up(&mut self) {
        self.hangs_up.store(true, Ordering::SeqCst);
        self.keys("?");
        self.reader.take().unwrap().join().unwrap();
        self.writer = None;
        self.master = None;
    }

    /// What the screen shows.
    pub fn text(&self) -> String {
        self.lock().parser.screen().contents()
    }

    /// Every byte that the program has written.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// The moment before the first frame.
    pub fn whole_story(&self) -> Mark {
        Mark(0)
    }

    /// Now, for [`Terminal::wait_to_have_seen`].
    pub fn mark(&self) -> Mark {
        Mark(self.lock().frames.len())
    }

    /// Waits until the screen shows those words. Returns how long after the start they were there.
    pub fn wait_for(&self, words: &str) -> Duration {
        let from = self.mark().0.saturating_sub(1);
        self.wait_to_have_seen(Mark(from), words)
    }

    /// Waits until the screen has shown those words at any time after the mark. Returns how long
    /// after the start they were there.
    pub fn wait_to_have_seen(&self, mark: Mark, words: &str) -> Duration {
        self.wait_for_frame(mark, words, |frame| frame.contains(words))
    }

    /// Waits until the screen has looked like this at any time after the mark.
    pub fn wait_for_frame(
        &self,
        mark: Mark,
        what: &str,
        looks_so: impl Fn(&str) -> bool,
    ) -> Duration {
        let deadline = Instant::now() + DEADLINE;
        let mut next = mark.0;
        loop {
            let seen = self.lock();
            let found = seen.frames[next..]
                .iter()
                .find(|(_, frame)| looks_so(frame));
            if let Some((when, _)) = found {
                return when.duration_since(self.started);
            }
            next = seen.frames.len();
            drop(seen);
            assert!(
                Instant::now() < deadline,
                "no {what:?} in\n{}",
                self.report()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether those words come within a while.
    pub fn shows_within(&self, mark: Mark, time: Duration, words: &str) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let seen = self.lock();
            if seen.frames[mark.0..]
                .iter()
                .any(|(_, frame)| frame.contains(words))
            {
                return true;
            }
            drop(seen);
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the program has ended and all that it wrote was read; its exit code.
    pub fn exit_code(&mut self) -> u32 {
        let deadline = Instant::now() + DEADLINE;
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.exit_code();
            }
            assert!(Instant::now() < deadline, "still there:\n{}", self.text());
            thread::sleep(Duration::from_millis(5));
        };
        // Nobody has the other side open any more, so the reader comes to an end.
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        code
    }

    /// The game has the terminal: alternate screen, no cursor, the mouse.
    pub fn assert_taken(&self) {
        let seen = self.lock();
        let screen = seen.parser.screen();
        assert!(screen.alternate_screen() && screen.hide_cursor());
        assert_eq!(
            screen.mouse_protocol_mode(),
            vt100::MouseProtocolMode::PressRelease
        );
    }

    /// Everything is as it was before the program started; to be asked after it has ended.
    pub fn assert_restored(&self) {
        let seen = self.lock();
        let screen = seen.parser.screen();
        assert!(!screen.alternate_screen(), "the former screen is back");
        assert!(!screen.hide_cursor(), "the cursor is back");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        assert!(!screen.bold() && screen.fgcolor() == vt100::Color::Default);
        let now = settings(self.master.as_deref().unwrap());
        assert_eq!(now, self.settings, "the line settings are back");
    }

    /// What the screen shows, and what its first line has said so far.
    fn report(&self) -> String {
        let seen = self.lock();
        let mut report = seen.parser.screen().contents();
        let mut last = "";
        for (when, frame) in &seen.frames {
            let header = frame.lines().next().unwrap_or("");
            if header != last {
                let seconds = when.duration_since(self.started).as_secs_f64();
                report += &format!("\n{seconds:8.3} {header}");
                last = header;
            }
        }
        report
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

impl Seen {
    fn take_in(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.bytes.extend_from_slice(bytes);
        let frame = self.parser.screen().contents();
        if self.frames.last().is_none_or(|(_, last)| *last != frame) {
            self.frames.push((Instant::now(), frame));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(master: &dyn MasterPty) -> String {
    format!(
        "{:?}",
        master.get_termios().expect("a Unix terminal has settings")
    )
}
