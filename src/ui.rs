//! The screen: one player's view of the game and of the consensus beneath it.
//!
//! The screen is joined to its node by two queues and nothing else (see [`crate::node::queues`]):
//! it sends **commands** and shows **orders**. It has one inbox, because std's queues have no
//! select: [`inbox`] makes it, and the node is given a clone of its sender. Into the same inbox a
//! thread of its own writes keys, clicks and sizes, and another one signals.
//!
//! | module | what it does |
//! |---|---|
//! | `app` | the state: what was heard, and what time does to it |
//! | `keys` | a key or a click becomes an intent |
//! | `view` | draws the state, one module a region |
//! | `theme` | colours, at every depth, and none |
//! | `terminal` | takes the terminal and gives it back, whatever happens |
//! | `svg` | a screen as a picture |
//!
//! [`run`] is the loop. It draws once before anything is heard, then whenever something visible has
//! changed, at most sixty times a second. In between it sleeps until the inbox has something or
//! until time alone changes the screen (a notice ends, a peer falls silent), and looks four times a
//! second whether the terminal is still there.
//!
//! Promises: the board changes when an order comes back and never by a key; the terminal is given
//! back as it was found on every way out; nothing but frames is ever written to it.
//!
//! Left out: what is done after the screen is closed. [`run`] says why it ended, and the caller
//! stops the node and chooses the exit code ([`Exit::code`]).
//!
//! Caveats: Unix only (signals, and the test whether a terminal is gone). Text that is pasted into
//! the terminal arrives as key presses.

pub mod app;
pub mod keys;
pub mod svg;
pub mod terminal;
pub mod theme;
pub mod view;

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use crossterm::event::Event;
use ratatui::layout::Rect;

use crate::node::queues::{Commands, ORDERS_CAPACITY, Update};
use crate::raft::NodeId;

use app::App;
use keys::Intent;
use terminal::Screen;
use theme::Theme;

/// At most sixty frames a second.
const FRAME: Duration = Duration::from_micros(16_667);
/// How often to look whether the terminal is still there.
const WATCH: Duration = Duration::from_millis(250);

/// Who sits at this screen, and who plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// This node.
    pub id: NodeId,
    /// Everyone who plays, as far as is known at first: ids and names.
    pub players: Vec<(NodeId, String)>,
    /// What the cluster is called, such as `local`.
    pub title: String,
    /// Nobody plays here: the keys attack nobody.
    pub watches: bool,
}

/// Everything that reaches the screen.
#[derive(Debug)]
pub enum Inbox {
    /// From the node.
    Node(Update),
    /// From the keyboard, the mouse, or the window.
    Terminal(Event),
    /// The terminal cannot be read any more.
    Lost(io::Error),
    /// The process was asked to end.
    Signal(i32),
}

impl From<Update> for Inbox {
    fn from(update: Update) -> Inbox {
        Inbox::Node(update)
    }
}

/// Why the screen was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The player quit.
    Quit,
    /// The node stopped, and why.
    NodeStopped(String),
    /// The process was asked to end by that signal. A terminal that has gone away counts as
    /// SIGHUP, whether or not the signal came.
    Signal(i32),
}

impl Exit {
    /// The exit code of the process: 0 after `q`, 1 when the node stopped, 128 + n after signal n.
    pub fn code(&self) -> u8 {
        match self {
            Exit::Quit => 0,
            Exit::NodeStopped(_) => 1,
            Exit::Signal(signal) => terminal::exit_code(*signal) as u8,
        }
    }
}

/// The screen's inbox. Clones of the sender go to the node (as its `Orders`) and to [`run`].
pub fn inbox() -> (SyncSender<Inbox>, Receiver<Inbox>) {
    mpsc::sync_channel(ORDERS_CAPACITY)
}

/// Takes the terminal, plays until somebody or something ends it, and gives the terminal back.
///
/// Fails with one clear line when there is no terminal to play on, and with the system's when the
/// terminal does not obey. From the first call on, a panic in any thread ends the process
/// ([`terminal::end_on_panic`]).
pub fn run(
    seat: Seat,
    commands: Commands,
    sender: SyncSender<Inbox>,
    inbox: Receiver<Inbox>,
) -> io::Result<Exit> {
    terminal::require()?;
    terminal::end_on_panic();
    terminal::forward_signals(sender.clone())?;
    let theme = Theme::detect(|name| std::env::var(name).ok());
    let mut app = App::new(seat, theme, Instant::now());
    let mut screen = Screen::enter()?;
    screen.draw(&app)?;
    app.take_changed();
    terminal::forward_events(sender)?;
    let played = play(&mut app, &mut screen, &commands, &inbox);
    // A terminal that is gone fails whoever writes first; what counts is that it is gone.
    match played {
        Err(_) if screen.is_gone() => Ok(Exit::Signal(terminal::SIGHUP)),
        played => played,
    }
}

/// What the loop needs of a terminal.
trait Canvas {
    /// Draws a frame.
    fn draw(&mut self, app: &App) -> io::Result<()>;
    /// Has the next frame drawn as if nothing had been drawn before.
    fn renew(&mut self);
    /// Takes the mouse from the terminal, or gives it back.
    fn capture_mouse(&mut self, capture: bool) -> io::Result<()>;
    /// The area of the last frame.
    fn area(&self) -> Rect;
    /// Whether there is nobody left to draw for.
    fn is_gone(&self) -> bool;
}

/// The loop: drain the inbox, let time pass, draw.
fn play(
    app: &mut App,
    canvas: &mut impl Canvas,
    commands: &Commands,
    inbox: &Receiver<Inbox>,
) -> io::Result<Exit> {
    let mut next_frame = Instant::now() + FRAME;
    let mut next_watch = Instant::now() + WATCH;
    let mut stale = false;
    loop {
        let now = Instant::now();
        app.tick(now);
        stale |= app.take_changed();
        if stale && now >= next_frame {
            canvas.draw(app)?;
            stale = false;
            next_frame = now + FRAME;
        }
        if now >= next_watch {
            if canvas.is_gone() {
                return Ok(Exit::Signal(terminal::SIGHUP));
            }
            next_watch = now + WATCH;
        }

        let mut wake = next_watch;
        if stale {
            wake = wake.min(next_frame);
        }
        if let Some(change) = app.next_change() {
            wake = wake.min(change);
        }
        let first = match inbox.recv_timeout(wake.saturating_duration_since(Instant::now())) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Exit::NodeStopped(
                    "nobody is left to tell anything".to_string(),
                ));
            }
        };
        // Not for ever: a flood must not keep the frames from being drawn.
        let waiting = inbox.try_iter().take(ORDERS_CAPACITY);
        for message in std::iter::once(first).chain(waiting) {
            if let Some(exit) = receive(app, canvas, commands, message)? {
                return Ok(exit);
            }
        }
    }
}

/// Takes in one message; why the screen is to be closed, if it is.
fn receive(
    app: &mut App,
    canvas: &mut impl Canvas,
    commands: &Commands,
    message: Inbox,
) -> io::Result<Option<Exit>> {
    let now = Instant::now();
    let event = match message {
        Inbox::Node(update) => {
            app.update(update, now);
            return Ok(app.stopped.take().map(Exit::NodeStopped));
        }
        Inbox::Signal(signal) => return Ok(Some(Exit::Signal(signal))),
        Inbox::Lost(error) => return Err(error),
        Inbox::Terminal(event) => event,
    };
    if let Event::Resize(..) = event {
        canvas.renew();
        app.redraw();
    }
    let Some(intent) = keys::intent(app, &event, canvas.area()) else {
        return Ok(None);
    };
    app.intend(intent, now);
    match intent {
        Intent::Quit => return Ok(Some(Exit::Quit)),
        Intent::Attack(id) => {
            if !commands.send(format!("attack {id}")) {
                return Ok(Some(Exit::NodeStopped("the node has stopped".to_string())));
            }
        }
        Intent::ToggleMouse => canvas.capture_mouse(app.mouse)?,
        Intent::ToggleHelp | Intent::Nobody(_) | Intent::Watching => {}
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::raft::RoleName;
    use theme::Depth;

    /// Counts its frames and remembers the mouse; gone when told so.
    #[derive(Default)]
    struct Paper {
        frames: Arc<AtomicU32>,
        mouse: Vec<bool>,
        gone: bool,
    }

    impl Canvas for Paper {
        fn draw(&mut self, _: &App) -> io::Result<()> {
            self.frames.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        fn renew(&mut self) {}
        fn capture_mouse(&mut self, capture: bool) -> io::Result<()> {
            self.mouse.push(capture);
            Ok(())
        }
        fn area(&self) -> Rect {
            Rect::new(0, 0, 80, 24)
        }
        fn is_gone(&self) -> bool {
            self.gone
        }
    }

    fn app() -> App {
        let seat = Seat {
            id: 1,
            players: (1..=5).map(|id| (id, format!("bob{id}"))).collect(),
            title: "local".to_string(),
            watches: false,
        };
        let mut app = App::new(seat, Theme::new(Depth::True), Instant::now());
        app.take_changed();
        app
    }

    fn press(c: char) -> Inbox {
        let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
        Inbox::Terminal(Event::Key(key))
    }

    #[test]
    fn a_digit_becomes_a_command_and_q_ends_the_loop() {
        let (sender, inbox) = inbox();
        let (commands, wanted) = Commands::channel();
        for c in ['3', '7', 'm', 'm', 'q', '4'] {
            sender.send(press(c)).unwrap();
        }
        let mut paper = Paper::default();
        let exit = play(&mut app(), &mut paper, &commands, &inbox).unwrap();
        assert_eq!(exit, Exit::Quit);
        assert_eq!(wanted.try_iter().collect::<Vec<_>>(), ["attack 3"]);
        assert_eq!(paper.mouse, [false, true]);
    }

    #[test]
    fn a_flood_of_updates_is_drawn_at_most_sixty_times_a_second() {
        let (sender, inbox) = inbox();
        let (commands, _wanted) = Commands::channel();
        let mut paper = Paper::default();
        let frames = Arc::clone(&paper.frames);
        let flood = thread::spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(30);
            let mut term = 0;
            while frames.load(Ordering::SeqCst) < 20 {
                assert!(
                    Instant::now() < deadline,
                    "nothing is drawn during the flood"
                );
                term += 1;
                let update = Update::Role(RoleName::Candidate, term, None);
                sender.send(update.into()).unwrap();
            }
            sender.send(press('q')).unwrap();
        });
        let start = Instant::now();
        play(&mut app(), &mut paper, &commands, &inbox).unwrap();
        let most = start.elapsed().as_micros() / FRAME.as_micros();
        assert!(u128::from(paper.frames.load(Ordering::SeqCst)) <= most);
        flood.join().unwrap();
    }

    #[test]
    fn every_other_way_out_says_why() {
        let end = |message: Option<Inbox>, gone: bool, node_runs: bool| {
            let (sender, inbox) = inbox();
            let (commands, wanted) = Commands::channel();
            let wanted = Some(wanted).filter(|_| node_runs);
            if let Some(message) = message {
                sender.send(message).unwrap();
            }
            let mut paper = Paper {
                gone,
                ..Paper::default()
            };
            let exit = play(&mut app(), &mut paper, &commands, &inbox);
            drop(wanted);
            exit
        };
        let stopped = Update::Stopped("the disk is full".to_string());
        assert_eq!(
            end(Some(stopped.into()), false, true).unwrap(),
            Exit::NodeStopped("the disk is full".to_string())
        );
        assert!(matches!(
            end(Some(press('3')), false, false).unwrap(),
            Exit::NodeStopped(_)
        ));
        let term = end(Some(Inbox::Signal(15)), false, true).unwrap();
        assert_eq!((term.code(), term), (143, Exit::Signal(15)));
        let gone = end(None, true, true).unwrap();
        assert_eq!(gone, Exit::Signal(terminal::SIGHUP));
        let lost = Inbox::Lost(io::Error::other("no more"));
        assert!(end(Some(lost), false, true).is_err());
    }
}
