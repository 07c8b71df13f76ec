//! The screen as people see it: snapshots of whole frames with their styles, and the real thing in
//! a pseudo-terminal, with a node that is played by a test.
//!
//! The snapshots are in `tests/snapshots`. Below the text of a frame stands its style map: the same
//! grid with a letter for each style, and what each letter means.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

#[path = "../examples/screenshot/story.rs"]
#[allow(dead_code)]
mod story;

#[path = "screen/pty.rs"]
mod pty;

use std::fmt::Write as _;
use std::time::Duration;

use raftian::node::queues::Update;
use raftian::raft::RoleName;
use raftian::ui::svg::{replay, svg};
use raftian::ui::theme::{Depth, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use story::{Story, mid_game};

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (40, 12), (30, 8)];

fn draw(story: &Story, depth: Depth, size: (u16, u16)) -> Buffer {
    replay(story.seat(), Theme::new(depth), size, story.updates())
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let mut text = String::new();
    for row in buffer.content().chunks(width) {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The text of a frame, then its styles.
fn dump(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let mut legend: Vec<String> = Vec::new();
    let mut map = String::new();
    for row in buffer.content().chunks(width) {
        let mut line = String::new();
        for cell in row {
            let style = style_words(cell.fg, cell.bg, cell.modifier);
            line.push(if style.is_empty() {
                ' '
            } else {
                let known = legend.iter().position(|known| *known == style);
                let index = known.unwrap_or_else(|| {
                    legend.push(style);
                    legend.len() - 1
                });
                let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
                letters
                    .chars()
                    .nth(index)
                    .expect("no frame has so many styles")
            });
        }
        map.push_str(line.trim_end());
        map.push('\n');
    }
    let mut dump = format!("{}\n--- styles ---\n{map}\n", text(buffer));
    for (letter, style) in ('a'..='z').chain('A'..='Z').chain('0'..='9').zip(legend) {
        let _ = writeln!(dump, "{letter}: {style}");
    }
    dump
}

fn style_words(fg: Color, bg: Color, modifier: Modifier) -> String {
    let mut words = Vec::new();
    if fg != Color::Reset {
        words.push(format!("fg {fg}"));
    }
    if bg != Color::Reset {
        words.push(format!("bg {bg}"));
    }
    words.extend(modifier.iter_names().map(|(name, _)| name.to_lowercase()));
    words.join(", ")
}

/// Compares with the snapshots of that name at all four sizes.
fn snapshots(name: &str, story: &Story) {
    for (width, height) in SIZES {
        let buffer = draw(story, Depth::True, (width, height));
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), dump(&buffer));
    }
}

#[test]
fn before_anything_is_heard_the_board_is_full_and_a_leader_is_looked_for() {
    let story = Story::new(5);
    snapshots("start", &story);
    for (width, height) in [(80, 24), (40, 12)] {
        let text = text(&draw(&story, Depth::True, (width, height)));
        assert!(text.contains("looking for a leader"));
        assert_eq!(text.matches("100 HP").count(), 5);
    }
}

#[test]
fn in_the_middle_of_a_game() {
    snapshots("mid_game", &mid_game());
}

#[test]
fn at_the_moment_of_a_hit_and_of_a_blow_against_the_dead() {
    let mut story = mid_game();
    story.elect(4, 2).attack(2, 4);
    let buffer = draw(&story, Depth::True, (80, 24));
    insta::assert_snapshot!("hit_80x24", dump(&buffer));
    assert!(text(&buffer).contains("Player 4 pressed"));
    story.attack(2, 5);
    let buffer = draw(&story, Depth::True, (40, 12));
    insta::assert_snapshot!("already_dead_40x12", dump(&buffer));
    assert!(text(&buffer).contains("Player 5 already dead"));
}

#[test]
fn a_node_that_has_lost_everybody_shows_nobodys_last_values() {
    let mut story = Story::new(5);
    story.elect(2, 7).look(&[2, 3, 4]).wait(999);
    story.role(RoleName::Candidate, 8, None);
    let before = text(&draw(&story, Depth::True, (80, 24)));
    assert!(!before.contains("silent"), "{before}");
    story.wait(1).look(&[]);
    snapshots("silent", &story);
    let after = text(&draw(&story, Depth::True, (80, 24)));
    assert_eq!(after.matches("silent").count(), 4);
    let rows: Vec<_> = after
        .lines()
        .filter(|line| line.contains("silent"))
        .collect();
    assert!(rows.iter().all(|row| !row.contains('7')), "{after}");
}

#[test]
fn with_the_help_open() {
    let story = mid_game();
    for (width, height) in SIZES {
        let buffer = with_help(&story, Depth::True, (width, height));
        insta::assert_snapshot!(format!("help_{width}x{height}"), dump(&buffer));
    }
}

#[test]
fn nine_players_who_fight_until_one_is_left() {
    let mut story = Story::new(9);
    story.elect(9, 3);
    snapshots("nine", &story);
    for id in (1..=9).filter(|&id| id != 6) {
        for _ in 0..4 {
            story.wait(50).attack(6, id);
        }
    }
    story.wait(600).look(&[2, 3, 4, 5, 6, 7, 8, 9]);
    snapshots("winner", &story);
    let text = text(&draw(&story, Depth::True, (40, 12)));
    assert!(text.starts_with(" bob6 wins"), "{text}");
}

#[test]
fn with_256_colours_with_16_and_with_none() {
    for (name, depth) in [
        ("colours_256", Depth::Indexed),
        ("colours_16", Depth::Sixteen),
        ("no_color", Depth::Mono),
    ] {
        let buffer = draw(&mid_game(), depth, (80, 24));
        insta::assert_snapshot!(format!("{name}_80x24"), dump(&buffer));
    }
}

#[test]
fn without_colour_no_cell_has_any_and_the_fills_tell_the_hit_points() {
    let mut story = mid_game();
    story.elect(4, 2).attack(1, 3).append("attack 2").look(&[]);
    for size in SIZES {
        for buffer in [
            draw(&story, Depth::Mono, size),
            with_help(&story, Depth::Mono, size),
        ] {
            let plain =
                |cell: &ratatui::buffer::Cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset);
            assert!(buffer.content().iter().all(plain));
        }
    }
    let text = text(&draw(&story, Depth::Mono, (80, 24)));
    for symbol in ['█', '▓', '▒', '░', '╳', '✓', '·'] {
        assert!(text.contains(symbol), "{symbol} is missing from\n{text}");
    }
}

#[test]
fn at_every_size_all_players_are_there_or_a_sentence_is() {
    let mut story = Story::new(9);
    story.elect(2, 7).attack(1, 3).append("attack 4");
    story.look(&[2, 3, 4]).wait(1500).look(&[2]);
    for width in 1..=200 {
        for height in 1..=60 {
            let text = text(&draw(&story, Depth::True, (width, height)));
            if width < 40 || height < 12 {
                let room = usize::from(width) * usize::from(height);
                assert!(width < 5 || room < 20 || text.contains("40x12"), "{text}");
                continue;
            }
            for id in 1..=9 {
                let label = format!("{id} bob{id}");
                assert!(text.contains(&label), "{width}x{height}: {label}\n{text}");
            }
            assert_eq!(
                text.matches("100 HP").count(),
                8,
                "{width}x{height}\n{text}"
            );
            assert!(text.contains("70 HP"));
            assert!(
                text.starts_with(" Raftian - you are bob1 (player 1)"),
                "{text}"
            );
            if width >= 80 && height >= 24 {
                for words in [
                    "bob2 leads term 7",
                    "silent",
                    "waiting",
                    "attack 4",
                    "q quit",
                ] {
                    let there = text.contains(words);
                    // The line between committed and waiting needs four rows.
                    assert!(
                        there || words == "waiting",
                        "{width}x{height}: {words}\n{text}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_long_name_and_huge_numbers_stay_in_their_columns() {
    let mut story = Story::new(3);
    let mut seat = story.seat();
    seat.players[1].1 = "a-very-long-name-indeed".to_string();
    story.elect(2, u64::MAX).look(&[2, 3]);
    let theme = Theme::new(Depth::True);
    let mut updates = story.updates();
    for (_, update) in &mut updates {
        if let Update::View(view) = update {
            view.status.peers[0].name = "a-very-long-name-indeed".to_string();
        }
    }
    let text = text(&replay(seat, theme, (80, 24), updates));
    assert!(text.contains("a-very…"), "{text}");
    let edge = |line: &&str| line.chars().nth(79).is_some();
    assert_eq!(text.lines().filter(edge).count(), 22, "{text}");
}

#[test]
fn the_picture_in_the_documents_is_the_screen_as_it_is() {
    let picture = svg(
        &draw(&mid_game(), Depth::True, (80, 24)),
        "A game of Raftian in a terminal",
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/screen.svg");
    let stored = std::fs::read_to_string(path).expect("docs/screen.svg can be read");
    assert!(
        stored == picture,
        "draw it again: cargo run --example screenshot -- docs/screen.svg"
    );
}

fn with_help(story: &Story, depth: Depth, (width, height): (u16, u16)) -> Buffer {
    use raftian::ui::{app::App, keys::Intent, view};
    let start = std::time::Instant::now();
    let mut app = App::new(story.seat(), Theme::new(depth), start);
    let mut last = Duration::ZERO;
    for (at, update) in story.updates() {
        app.tick(start + at);
        app.update(update, start + at);
        last = at;
    }
    app.intend(Intent::ToggleHelp, start + last);
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view::render(&app, area, &mut buffer);
    buffer
}
