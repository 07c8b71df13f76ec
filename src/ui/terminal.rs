//! Takes the terminal, and gives it back whatever happens.
//!
//! A `Screen` is the alternate screen, raw mode, a hidden cursor and the mouse's clicks. All of
//! it ends in [`restore`], which may be called from any thread, any number of times, and with a
//! terminal that is gone:
//!
//! * on quit and on an error, when the `Screen` is dropped;
//! * on a panic in any thread: [`end_on_panic`] gives the terminal back, lets the panic be printed
//!   on it, and ends the process with code 101. A node whose driver has panicked must not leave a
//!   board on the screen that looks alive;
//! * on SIGINT, SIGTERM and SIGHUP: `forward_signals` puts the first one into the inbox, so that
//!   the game is left by the usual way. A second one ends the process at once, and so does the
//!   first when the screen has not closed five seconds later (a terminal on hold blocks whoever
//!   writes to it). The exit code is 128 + n;
//! * when the terminal goes away (`is_gone`).
//!
//! It is taken with the first frame, and again with the first one after each change of its size, every
//! character of which is drawn. So somebody else's terminal that is put behind the same line
//! (`docker attach`, which changes the size to and fro) shows the whole screen and takes clicks. A
//! terminal of no size, such as a container's that nobody has attached to yet, gets nothing at all.
//!
//! Frames go to the terminal through a file of our own rather than std's `stdout`: a thread that
//! must restore the terminal never waits for a lock that a blocked writer holds, and a frame leaves
//! in one piece.
//!
//! Of the mouse, presses and releases are asked for and no movement, which would wake the game for
//! nothing.
//!
//! Caveats: SIGKILL, SIGSTOP and SIGTSTP from outside leave the terminal as it is (Ctrl-Z reaches
//! the game as a key and means nothing). The thread that reads the terminal cannot be woken; it
//! ends with the process. On a terminal that hangs up without a signal, crossterm 0.29 reads the
//! end of the file again and again, which is why [`super::run`] looks for itself and ends.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, Once, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::event;
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub use signal_hook::consts::SIGHUP;

use super::app::App;
use super::{Canvas, Inbox, view};

/// Alternate screen, no cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
/// Presses and releases, in the form that has no limit of 223 columns.
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";
/// Plain style, the mouse, the former screen, the cursor.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?1006l\x1b[?1000l\x1b[?1049l\x1b[?25h";

/// What a panic ends the process with; the same as Rust's own.
const PANICKED: i32 = 101;
/// How long the screen may take to close after the first signal.
const GRACE: Duration = Duration::from_secs(5);
/// How long giving the terminal back may take when the process must end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a frame under way is waited for.
const FRAME_UNDER_WAY: Duration = Duration::from_millis(100);

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Held while a frame is written, so that none comes after the terminal was given back.
static FRAME: Mutex<()> = Mutex::new(());
/// The terminal, for whoever restores it.
static TTY: OnceLock<File> = OnceLock::new();

/// The terminal while it is ours. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Tty>>>,
    area: Rect,
    /// Whether the next frame must take the terminal, which may be another one than before.
    fresh: bool,
    /// Whether clicks are wanted.
    mouse: bool,
}

impl Screen {
    /// Makes the terminal ready to be taken by the first frame.
    pub(super) fn enter() -> io::Result<Screen> {
        require()?;
        let tty = duplicate_stdout()?;
        let spare = duplicate_stdout()?;
        let _ = TTY.set(spare);
        // Large enough for any frame: a terminal never shows half of one.
        let writer = BufWriter::with_capacity(256 * 1024, Tty(tty));
        let terminal = Terminal::new(CrosstermBackend::new(writer))?;
        TAKEN.store(true, Ordering::SeqCst);
        let screen = Screen {
            terminal,
            area: Rect::ZERO,
            fresh: true,
            mouse: true,
        };
        // From here on, dropping the screen undoes whatever was done.
        enable_raw_mode()?;
        Ok(screen)
    }
}

impl Canvas for Screen {
    fn draw(&mut self, app: &App) -> io::Result<()> {
        let _frame = FRAME
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let size = self.terminal.size()?;
        if size.width == 0 || size.height == 0 {
            self.area = Rect::ZERO;
            return Ok(());
        }
        if self.fresh {
            say(ENTER)?;
            say(if self.mouse { MOUSE_ON } else { MOUSE_OFF })?;
            // Also when the size is the same as before: what is on the screen is not.
            self.terminal.resize(size.into())?;
            self.fresh = false;
        }
        let drawn = self.terminal.draw(|frame| view::draw(app, frame))?;
        self.area = drawn.area;
        Ok(())
    }

    fn renew(&mut self) {
        self.fresh = true;
    }

    fn capture_mouse(&mut self, capture: bool) -> io::Result<()> {
        self.mouse = capture;
        say(if capture { MOUSE_ON } else { MOUSE_OFF })
    }

    fn area(&self) -> Rect {
        self.area
    }

    /// A terminal that has hung up answers no question, and so is a terminal no more.
    fn is_gone(&self) -> bool {
        !io::stdin().is_terminal()
    }
}

/// The terminal as ratatui writes to it. What comes after it was given back goes nowhere: ratatui
/// shows the cursor once more when it is dropped, and complains where a failure can only be
/// answered by a panic.
#[derive(Debug)]
struct Tty(File);

impl Write for Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match TAKEN.load(Ordering::SeqCst) {
            true => self.0.write(bytes),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was. Does nothing when it was not taken, or was given back before.
pub fn restore() {
    let frame = frame_under_way();
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nobody can be told of a failure: the terminal is what would show it.
        let _ = disable_raw_mode();
        let _ = say(LEAVE);
    }
    drop(frame);
}

/// Makes a panic in any thread end the process, once the terminal is given back and the panic
/// printed. Calling it again changes nothing.
pub fn end_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            end_within(LAST_WORDS, PANICKED);
            restore();
            print(info);
            tidy();
            process::exit(PANICKED);
        }));
    });
}

/// What is to be done if the process ends without unwinding, by a panic or a second signal.
static LAST_ACT: Mutex<Option<LastAct>> = Mutex::new(None);

type LastAct = Box<dyn FnOnce() + Send>;

/// Has this done, and within `LAST_WORDS`, should a panic or a second signal end the process.
pub fn at_early_end(act: impl FnOnce() + Send + 'static) {
    *LAST_ACT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(act));
}

fn tidy() {
    let act = LAST_ACT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(act) = act {
        act();
    }
}

/// Starts the thread that waits for signals.
pub(super) fn forward_signals(sender: SyncSender<Inbox>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let wait = move || {
        let mut first = true;
        for signal in signals.forever() {
            if first {
                first = false;
                insist(signal);
                if sender.send(Inbox::Signal(signal)).is_ok() {
                    continue;
                }
            }
            end(exit_code(signal));
        }
    };
    thread::Builder::new()
        .name("signals".to_string())
        .spawn(wait)?;
    Ok(())
}

/// Starts the thread that reads keys, clicks and sizes.
pub(super) fn forward_events(sender: SyncSender<Inbox>) -> io::Result<()> {
    let read = move || {
        loop {
            let (message, over) = match event::read() {
                Ok(event) => (Inbox::Terminal(event), false),
                Err(error) => (Inbox::Lost(error), true),
            };
            if sender.send(message).is_err() || over {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("keys".to_string())
        .spawn(read)?;
    Ok(())
}

/// One clear line unless there is a terminal to read from and to draw on.
pub fn require() -> io::Result<()> {
    let problem = if !io::stdin().is_terminal() {
        "the game needs a terminal for its keys, and the standard input is none"
    } else if !io::stdout().is_terminal() {
        "the game needs a terminal for its screen, and the standard output is none"
    } else if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
        "the game needs a terminal that can move its cursor, and TERM is dumb"
    } else {
        return Ok(());
    };
    let advice = "run it in a terminal, or run `raftian serve`, which has no screen";
    Err(io::Error::other(format!("{problem}: {advice}")))
}

/// What a process that was ended by a signal exits with.
pub fn exit_code(signal: i32) -> i32 {
    128 + signal
}

/// Ends the process, after giving the terminal back if that is possible within a second.
fn end(code: i32) -> ! {
    end_within(LAST_WORDS, code);
    tidy();
    restore();
    process::exit(code)
}

/// Ends the process unless the screen has closed within the grace.
fn insist(signal: i32) {
    let watch = move || {
        thread::sleep(GRACE);
        if TAKEN.load(Ordering::SeqCst) {
            end(exit_code(signal));
        }
    };
    // Without the thread a second signal is needed, and works.
    let _ = thread::Builder::new()
        .name("insist".to_string())
        .spawn(watch);
}

/// Ends the process after a while, whatever the caller gets stuck in meanwhile.
fn end_within(time: Duration, code: i32) {
    let watch = move || {
        thread::sleep(time);
        process::exit(code);
    };
    let _ = thread::Builder::new().name("end".to_string()).spawn(watch);
}

/// Waits for the frame that is being written, and keeps the next one from starting. Not for long:
/// it may be the caller's own, or stuck in a terminal on hold.
fn frame_under_way() -> Option<std::sync::MutexGuard<'static, ()>> {
    let deadline = Instant::now() + FRAME_UNDER_WAY;
    loop {
        match FRAME.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Writes to the terminal at once.
fn say(bytes: &[u8]) -> io::Result<()> {
    match TTY.get() {
        Some(mut tty) => tty.write_all(bytes),
        None => Ok(()),
    }
}

/// A file of our own on the standard output, without std's buffer and lock.
fn duplicate_stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}
