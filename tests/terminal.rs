//! The game as it is played: the real program in real terminals, from the first frame to the last
//! line after `q`.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::terminal::Terminal;
use support::{Cluster, PATIENT, finish, text};

/// One `raftian play` for each node, all of which show a leader.
fn play(cluster: &Cluster, options: &[&str]) -> Vec<Terminal> {
    let start = |id: u64| {
        let id = id.to_string();
        let arguments = ["play", "--config", "test.toml", "--id", &id];
        Terminal::start(cluster.dir(), &[&arguments, options].concat())
    };
    let terminals: Vec<Terminal> = cluster.ids().into_iter().map(start).collect();
    for terminal in &terminals {
        wait_for_leader(terminal);
    }
    terminals
}

/// Waits until the header says who leads; how long after the start that was.
fn wait_for_leader(terminal: &Terminal) -> Duration {
    terminal.wait_for_frame(terminal.whole_story(), "leader", |frame| {
        let header = frame.lines().next().unwrap_or("");
        header.contains(" leads term ") || header.contains("you lead term ")
    })
}

/// Presses a key until the screen shows those words, which may be there for half a second only. On
/// a busy machine the screen may miss that moment; then the key is pressed again.
fn press_until(terminal: &mut Terminal, key: &str, words: &str) {
    for _ in 0..10 {
        let mark = terminal.mark();
        terminal.keys(key);
        if terminal.shows_within(mark, Duration::from_secs(4), words) {
            return;
        }
    }
    panic!("no {words:?} in\n{}", terminal.text());
}

fn quit(mut terminal: Terminal) -> String {
    terminal.assert_taken();
    terminal.keys("q");
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.text());
    terminal.assert_restored();
    terminal.text()
}

#[test]
fn a_key_in_one_terminal_changes_the_board_in_all_three() {
    let cluster = Cluster::new(3, PATIENT);
    let mut terminals = play(&cluster, &[]);
    for terminal in &terminals {
        terminal.assert_taken();
        assert_eq!(terminal.text().matches("100 HP").count(), 3);
    }

    let marks: Vec<_> = terminals.iter().map(Terminal::mark).collect();
    terminals[0].keys("2");
    for (terminal, mark) in terminals.iter().zip(marks) {
        terminal.wait_to_have_seen(mark, "Player 2 pressed");
        terminal.wait_for("70 HP");
        terminal.wait_for("bob1 hits bob2: 70 HP");
        assert_eq!(terminal.text().matches("100 HP").count(), 2);
    }
    // The header goes back to its default by itself.
    for (id, terminal) in (1..).zip(&terminals) {
        terminal.wait_for(&format!("you are bob{id} (player {id})"));
    }

    // Another player, a click instead of a key, and the third blow from the third.
    terminals[1].click("2 bob2");
    terminals[0].wait_for("bob2 hits bob2: 40 HP");
    terminals[2].keys("2");
    terminals[0].wait_for("bob3 hits bob2: 10 HP");
    terminals[0].keys("2");
    for terminal in &terminals {
        terminal.wait_for("bob1 kills bob2");
        terminal.wait_for("dead");
    }
    press_until(&mut terminals[1], "2", "Player 2 already dead");
    press_until(&mut terminals[1], "3", "Player 3 pressed");
    press_until(&mut terminals[1], "7", "There is no player 7");

    terminals
        .into_iter()
        .for_each(|terminal| drop(quit(terminal)));
    verify(cluster.dir(), "logs", 3);
    for id in 1..=3 {
        let errors = text(&fs::read(cluster.logs(id).join("node.log")).unwrap());
        assert!(!errors.contains("ERROR"), "{errors}");
    }
}

#[test]
fn players_who_quit_and_return_find_the_same_game() {
    let cluster = Cluster::new(3, PATIENT);
    let mut terminals = play(&cluster, &[]);
    for hp in ["70 HP", "40 HP"] {
        terminals[0].keys("2");
        for terminal in &terminals {
            terminal.wait_for(&format!("bob1 hits bob2: {hp}"));
        }
    }
    terminals
        .into_iter()
        .for_each(|terminal| drop(quit(terminal)));

    let mut terminals = play(&cluster, &[]);
    for terminal in &terminals {
        terminal.wait_for("40 HP");
        assert_eq!(terminal.text().matches("100 HP").count(), 2);
    }
    terminals[1].keys("2");
    terminals[2].wait_for("bob2 hits bob2: 10 HP");
    terminals
        .into_iter()
        .for_each(|terminal| drop(quit(terminal)));
    verify(cluster.dir(), "logs", 3);
    // One file for both games: nothing was moved aside, no line is there twice.
    assert!(!cluster.logs(1).join("orders.log.1").exists());
}

#[test]
fn the_embedded_game_forgets_itself_unless_it_is_told_where_to_keep_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let temporary = dir.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let variables = [("TMPDIR", temporary.to_str().unwrap())];
    let attack = |arguments: &[&str]| {
        let options = ["--players", "3", "--no-bots"];
        let arguments = [&options, arguments].concat();
        let mut terminal = Terminal::start_with(dir.path(), &arguments, &variables);
        wait_for_leader(&terminal);
        let kept = fs::read_dir(&temporary).unwrap().count();
        press_until(&mut terminal, "2", "bob1 hits bob2");
        let text = terminal.text();
        drop(quit(terminal));
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
        (kept, text)
    };
    for _ in 0..2 {
        let (kept, text) = attack(&[]);
        assert_eq!(kept, 1);
        assert!(text.contains("70 HP"), "{text}");
    }
    for hp in ["70 HP", "40 HP", "10 HP"] {
        let (kept, text) = attack(&["--data", "data"]);
        assert_eq!(kept, 0);
        assert!(text.contains(hp), "{text}");
    }
    assert!(dir.path().join("data/bob1/hard-state").exists());

    // A signal ends it as well, and leaves nothing behind; two do so at once.
    for count in [1, 2] {
        let mut terminal = Terminal::start_with(dir.path(), &["--no-bots"], &variables);
        wait_for_leader(&terminal);
        for _ in 0..count {
            terminal.signal(Signal::TERM);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(terminal.exit_code(), 128 + 15);
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    }
}

#[test]
fn nodes_with_and_without_a_screen_play_together_and_the_silent_are_shown() {
    let mut cluster = Cluster::new(3, PATIENT);
    cluster.start(2);
    cluster.start(3);
    cluster.wait_for_leader();
    let arguments = ["play", "--config", "test.toml", "--id", "1"];
    let mut terminal = Terminal::start(cluster.dir(), &arguments);
    wait_for_leader(&terminal);

    let output = cluster.run(&["attack", "1", "--to", &cluster.address(3)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    terminal.wait_for("bob1 is hit: 70 HP");

    // Who does not answer for a second is silent; with two of three silent nobody leads.
    cluster.kill(3);
    terminal.wait_for("silent");
    wait_for_leader(&terminal);
    terminal.keys("2");
    terminal.wait_for("bob1 hits bob2: 70 HP");
    cluster.pause(2);
    terminal.wait_for_frame(terminal.mark(), "two silent nodes", |frame| {
        frame.matches("silent").count() == 2
    });
    cluster.resume(2);
    terminal.wait_for_frame(terminal.mark(), "one silent node", |frame| {
        frame.matches("silent").count() == 1
    });
    drop(quit(terminal));
    cluster.stop(2, Signal::TERM);
    verify(cluster.dir(), "logs", 3);
}

#[test]
fn a_bot_plays_in_its_own_terminal() {
    let cluster = Cluster::new(1, PATIENT);
    // Alone on the board there is nobody to attack, so nothing but the title can show.
    let arguments = ["play", "--config", "test.toml", "--id", "1", "--bot"];
    let terminal = Terminal::start(cluster.dir(), &arguments);
    wait_for_leader(&terminal);
    drop(quit(terminal));

    let cluster = Cluster::new(3, PATIENT);
    let terminals = play(&cluster, &["--bot"]);
    for terminal in &terminals {
        terminal.wait_for(": 70 HP");
    }
    terminals
        .into_iter()
        .for_each(|terminal| drop(quit(terminal)));
    verify(cluster.dir(), "logs", 3);
}

#[test]
fn the_embedded_game_starts_at_once_and_says_at_the_end_where_the_log_files_are() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--players", "5", "--no-bots", "--logs", "my-logs"];
    let mut terminal = Terminal::start(dir.path(), &arguments);
    let first_frame = terminal.wait_for_frame(terminal.whole_story(), "frame", |frame| {
        frame.matches("100 HP").count() == 5 && frame.contains("quit")
    });
    let leader = wait_for_leader(&terminal);
    println!("embedded: first frame after {first_frame:?}, a leader after {leader:?}");
    assert!(first_frame < Duration::from_secs(2), "{first_frame:?}");

    terminal.keys("4");
    terminal.wait_for("bob1 hits bob4: 70 HP");
    let last = quit(terminal);
    assert!(
        last.contains("The log files are in my-logs: compare them with raftian verify my-logs"),
        "{last}"
    );
    // Nothing is still under way: all five were stopped in order.
    verify(dir.path(), "my-logs", 5);
}

#[test]
fn the_embedded_game_has_bots_that_play_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let terminal = Terminal::start(dir.path(), &["--players", "9", "--logs", "logs"]);
    terminal.wait_for_frame(terminal.whole_story(), "nine players", |frame| {
        frame.matches("100 HP").count() == 9
    });
    // No key was pressed.
    terminal.wait_for_frame(terminal.whole_story(), "a hit", |frame| {
        frame.contains(" hits bob")
    });
    let text = terminal.text();
    assert!(text.matches("100 HP").count() < 9, "{text}");
    assert!(!text.contains("bob1 hits"), "player 1 is a person\n{text}");
    drop(quit(terminal));
    verify(dir.path(), "logs", 9);
}

#[test]
fn two_players_are_a_game_and_the_last_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--players", "2", "--no-bots", "--logs", "logs"];
    let mut terminal = Terminal::start(dir.path(), &arguments);
    wait_for_leader(&terminal);
    assert_eq!(terminal.text().matches("100 HP").count(), 2);
    terminal.keys("2222");
    terminal.wait_for("bob1 wins");
    drop(quit(terminal));
    verify(dir.path(), "logs", 2);
}

#[test]
fn a_second_game_keeps_the_files_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let arguments = ["--players", "2", "--no-bots", "--logs", "logs"];
        let mut terminal = Terminal::start(dir.path(), &arguments);
        wait_for_leader(&terminal);
        terminal.keys("2");
        terminal.wait_for("bob1 hits bob2: 70 HP");
        drop(quit(terminal));
    }
    for id in 1..=2 {
        let node = dir.path().join(format!("logs/bob{id}"));
        for name in ["orders.log", "orders.log.1"] {
            let orders = fs::read_to_string(node.join(name)).unwrap();
            assert_eq!(orders.matches("\tattack 2\thp 70\t").count(), 1, "{name}");
        }
    }
    verify(dir.path(), "logs", 2);
}

#[test]
fn every_signal_gives_the_terminal_back() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let dir = tempfile::tempdir().unwrap();
        let arguments = ["--players", "2", "--no-bots", "--logs", "logs"];
        let mut terminal = Terminal::start(dir.path(), &arguments);
        wait_for_leader(&terminal);
        terminal.assert_taken();
        terminal.signal(signal);
        assert_eq!(terminal.exit_code(), code, "{signal:?}");
        terminal.assert_restored();
    }
}

#[test]
fn a_closed_terminal_ends_the_process() {
    let cluster = Cluster::new(1, PATIENT);
    let arguments = ["play", "--config", "test.toml", "--id", "1"];
    let mut terminal = Terminal::start(cluster.dir(), &arguments);
    wait_for_leader(&terminal);
    terminal.hang_up();
    let closed = Instant::now();
    assert_eq!(terminal.exit_code(), 129);
    println!(
        "closed terminal: the process ended after {:?}",
        closed.elapsed()
    );
    assert!(closed.elapsed() < Duration::from_secs(5));
    verify(cluster.dir(), "logs", 1);
}

#[test]
fn no_color_means_no_colour() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--players", "3", "--no-bots", "--logs", "logs"];
    for (variable, wanted) in [(("COLORTERM", ""), true), (("NO_COLOR", "1"), false)] {
        let mut terminal = Terminal::start_with(dir.path(), &arguments, &[variable]);
        wait_for_leader(&terminal);
        terminal.keys("3");
        terminal.wait_for("bob1 hits bob3: 70 HP");
        terminal.keys("q");
        assert_eq!(terminal.exit_code(), 0);
        let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
        assert_eq!(sets_a_colour(&bytes), wanted, "{variable:?}");
    }
}

/// Whether there is an escape sequence that sets a colour. Going back to the terminal's own
/// (39, 49 and 59) sets none.
fn sets_a_colour(output: &str) -> bool {
    output.split("\x1b[").skip(1).any(|sequence| {
        let end = sequence.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':'));
        let (parameters, rest) = sequence.split_at(end.unwrap_or(sequence.len()));
        rest.starts_with('m')
            && parameters.split([';', ':']).any(|parameter| {
                matches!(
                    parameter.parse(),
                    Ok(30..=38 | 40..=48 | 58 | 90..=97 | 100..=107)
                )
            })
    })
}

#[test]
fn a_terminal_that_becomes_too_small_says_so_and_the_game_goes_on_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--players", "3", "--no-bots", "--logs", "logs"];
    let mut terminal = Terminal::start(dir.path(), &arguments);
    wait_for_leader(&terminal);
    terminal.resize(30, 8);
    terminal.wait_for("needs a");
    assert!(!terminal.text().contains("HP"), "{}", terminal.text());
    terminal.keys("3");
    terminal.resize(80, 24);
    terminal.wait_for("bob1 hits bob3: 70 HP");
    terminal.wait_for("Cluster");
    drop(quit(terminal));
}

#[test]
fn a_terminal_that_takes_the_place_of_another_is_taken_and_drawn_on_from_scratch() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--players", "3", "--no-bots", "--logs", "logs"];
    let mut terminal = Terminal::start(dir.path(), &arguments);
    wait_for_leader(&terminal);
    for (cols, rows) in [(80, 24), (80, 24), (100, 30)] {
        terminal.replace(cols, rows);
        terminal.wait_for("100 HP");
        terminal.wait_for("Cluster");
        terminal.assert_taken();
    }
    // Without a size there is nobody to draw for, and the game goes on.
    terminal.resize_line(0, 0);
    terminal.keys("3");
    terminal.replace(80, 24);
    terminal.wait_for("bob1 hits bob3: 70 HP");
    drop(quit(terminal));
}

#[test]
fn without_a_terminal_there_is_one_line_and_no_files() {
    let cluster = Cluster::new(3, PATIENT);
    for arguments in [
        &["--logs", "logs"][..],
        &["play", "--config", "test.toml", "--id", "1"],
    ] {
        let output = finish(&mut cluster.raftian(arguments));
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("raftian serve"), "{said}");
        assert!(!cluster.dir().join("logs").exists());
    }
}

/// Asserts that so many nodes have left files which agree, as `raftian verify` and `diff` see it.
fn verify(dir: &Path, logs: &str, nodes: usize) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_raftian"));
    let output = finish(command.args(["verify", logs]).current_dir(dir));
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert_eq!(said.lines().count(), nodes + 1, "{said}");
    let read = |id| fs::read_to_string(dir.join(format!("{logs}/bob{id}/orders.log"))).unwrap();
    let orders: Vec<String> = (1..=nodes).map(read).collect();
    let longest = orders.iter().max_by_key(|text| text.len()).unwrap();
    assert!(longest.contains('\t'), "something was written");
    for text in &orders {
        assert!(longest.starts_with(text.as_str()), "{said}");
    }
}
