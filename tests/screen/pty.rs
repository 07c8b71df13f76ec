//! The screen in a pseudo-terminal. The program in it is this test binary itself, started once
//! more: [`the_program_in_the_terminal`] runs the real screen over a node that answers every
//! command with an order.

use std::io::{Read, Write};
use std::process::Command as Process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use raftian::command::Command;
use raftian::game::Game;
use raftian::machine::Machine;
use raftian::node::queues::{Commands, Orders, Update};
use raftian::raft::{Entry, Payload, RoleName};
use raftian::ui;

use super::story::Story;

/// Tells the child what to do: `play`, or `panic` to do so at the first command.
const MODE: &str = "RAFTIAN_SCREEN_TEST";

#[test]
#[ignore = "started by the tests below, in a terminal of its own"]
fn the_program_in_the_terminal() {
    let Ok(mode) = std::env::var(MODE) else {
        return;
    };
    let seat = Story::new(5).seat();
    let players = seat.players.clone();
    let (commands, wanted) = Commands::channel();
    let (sender, inbox) = ui::inbox();
    let orders = sender.clone();
    thread::spawn(move || {
        let mut machine = Machine::new(Game::new(players));
        for text in wanted {
            assert!(mode != "panic", "the node has lost its mind");
            if machine.last_applied() == 0 {
                orders.offer(Update::Role(RoleName::Follower, 1, Some(2)));
            }
            let index = machine.last_applied() + 1;
            let command = Command::new("bob1-0", index, text).unwrap();
            let payload = Payload::Command(Arc::new(command));
            let entry = Entry {
                index,
                term: 1,
                payload,
            };
            let order = machine.apply(&entry);
            orders.offer(Update::Order(order, machine.state().players().to_vec()));
        }
    });
    let code = match ui::run(seat, commands, sender, inbox) {
        Ok(exit) => exit.code(),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            1
        }
    };
    std::process::exit(code.into());
}

/// A terminal with the program in it.
struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<thread::JoinHandle<()>>,
    hangs_up: Arc<AtomicBool>,
    /// The line settings before the program started.
    settings: String,
}

impl Terminal {
    fn start(mode: &str) -> Terminal {
        Terminal::start_with(mode, true)
    }

    fn start_with(mode: &str, controlling: bool) -> Terminal {
        let pty = native_pty_system().openpty(PtySize::default()).unwrap();
        let settings = settings(&*pty.master);
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--exact", "pty::the_program_in_the_terminal"]);
        command.args(["--ignored", "--nocapture"]);
        command.env(MODE, mode);
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        command.set_controlling_tty(controlling);
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);

        let parser = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
        let screen = Arc::new(Mutex::new(parser));
        let mut reader = pty.master.try_clone_reader().unwrap();
        let shown = Arc::clone(&screen);
        let hangs_up = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&hangs_up);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = reader.read(&mut bytes)
                && !over.load(Ordering::SeqCst)
            {
                shown.lock().unwrap().process(&bytes[..len]);
            }
        });
        Terminal {
            writer: Some(pty.master.take_writer().unwrap()),
            master: Some(pty.master),
            child,
            screen,
            reader: Some(reader),
            hangs_up,
            settings,
        }
    }

    fn keys(&mut self, keys: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn wait_for(&self, words: &str) {
        self.wait_until(words, |screen| screen.contents().contains(words));
    }

    fn wait_until(&self, what: &str, condition: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition(self.screen.lock().unwrap().screen()) {
            assert!(Instant::now() < deadline, "no {what} in\n{}", self.text());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.process_id().unwrap().to_string();
        let sent = Process::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Closes the terminal. The reader has a handle of its own and lets go of it once the program
    /// has written something.
    fn hang_up(&mut self) {
        self.hangs_up.store(true, Ordering::SeqCst);
        self.keys("3");
        self.reader.take().unwrap().join().unwrap();
        self.writer = None;
        self.master = None;
    }

    /// The exit code, which must come within a generous while.
    fn exit_code(&mut self) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(Instant::now() < deadline, "still there:\n{}", self.text());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn assert_taken(&self) {
        let screen = self.screen.lock().unwrap();
        let screen = screen.screen();
        assert!(screen.alternate_screen() && screen.hide_cursor());
        assert_eq!(
            screen.mouse_protocol_mode(),
            vt100::MouseProtocolMode::PressRelease
        );
    }

    /// Everything is as it was before the program started.
    fn assert_restored(&self) {
        // The last bytes may still be on their way to the reader.
        self.wait_until("main screen", |screen| {
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
                && !screen.bold()
                && screen.fgcolor() == vt100::Color::Default
        });
        assert_eq!(settings(self.master.as_deref().unwrap()), self.settings);
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

#[test]
fn a_key_changes_the_board_when_the_order_comes_back_and_the_header_for_half_a_second() {
    let mut terminal = Terminal::start("play");
    terminal.wait_for("looking for a leader");
    terminal.assert_taken();
    assert_ne!(
        settings(terminal.master.as_deref().unwrap()),
        terminal.settings
    );
    terminal.keys("3");
    terminal.wait_for("Player 3 pressed");
    terminal.wait_for("70 HP");
    terminal.wait_for("bob1 hits bob3: 70 HP");
    terminal.wait_for("Raftian - you are bob1");
    terminal.keys("3333");
    terminal.wait_for("Player 3 already dead");
    terminal.keys("q");
    assert_eq!(terminal.exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn a_click_attacks_and_m_gives_the_mouse_back_and_control_c_quits() {
    let mut terminal = Terminal::start("play");
    terminal.wait_for("█4 bob4█");
    let text = terminal.text();
    let row = text
        .lines()
        .position(|line| line.contains("█4 bob4█"))
        .unwrap();
    // The square is in the first column of the board. Terminals count from 1.
    terminal.keys(&format!("\x1b[<0;6;{}M\x1b[<0;6;{}m", row + 1, row + 1));
    terminal.wait_for("Player 4 pressed");
    terminal.keys("m");
    terminal.wait_until("free mouse", |screen| {
        screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
    });
    terminal.keys("m");
    terminal.wait_until("mouse", |screen| {
        screen.mouse_protocol_mode() == vt100::MouseProtocolMode::PressRelease
    });
    terminal.keys("?");
    terminal.wait_for("open or close this help");
    terminal.keys("\x03");
    assert_eq!(terminal.exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn a_signal_ends_the_game_and_gives_the_terminal_back() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129)] {
        let mut terminal = Terminal::start("play");
        terminal.wait_for("looking for a leader");
        terminal.signal(signal);
        assert_eq!(terminal.exit_code(), code, "{signal}");
        terminal.assert_restored();
    }
}

#[test]
fn a_panic_in_another_thread_ends_the_process_and_is_readable() {
    let mut terminal = Terminal::start("panic");
    terminal.wait_for("looking for a leader");
    terminal.keys("3");
    assert_eq!(terminal.exit_code(), 101);
    terminal.assert_restored();
    terminal.wait_for("the node has lost its mind");
}

#[test]
fn a_closed_terminal_ends_the_process_with_a_signal_or_without() {
    for controlling in [true, false] {
        let mut terminal = Terminal::start_with("play", controlling);
        terminal.wait_for("looking for a leader");
        terminal.hang_up();
        let closed = Instant::now();
        assert_eq!(terminal.exit_code(), 129, "controlling: {controlling}");
        assert!(closed.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_resized_terminal_is_drawn_anew_down_to_the_sentence() {
    let mut terminal = Terminal::start("play");
    terminal.wait_for("Cluster local");
    for (cols, rows, words) in [(30, 8, "needs a"), (40, 12, "looking for a leader")] {
        let size = PtySize {
            rows,
            cols,
            ..PtySize::default()
        };
        let (r, c) = (rows.try_into().unwrap(), cols.try_into().unwrap());
        terminal.screen.lock().unwrap().screen_mut().set_size(r, c);
        terminal.master.as_ref().unwrap().resize(size).unwrap();
        terminal.wait_for(words);
    }
    terminal.keys("q");
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
fn without_a_terminal_there_is_one_line_that_says_what_to_do() {
    let output = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "pty::the_program_in_the_terminal"])
        .args(["--ignored", "--nocapture"])
        .env(MODE, "play")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("raftian serve"), "{said}");
}
