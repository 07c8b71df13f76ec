//! Draws an [`App`]: where everything goes, at every size.
//!
//! ```text
//! 80x24 and up                                 at least 40 wide, under 80 wide
//! ┌──────────────────────────────────────┐     ┌───────────────────┐
//! │ header                               │     │ header            │
//! │╭ board ──────────╮╭ cluster ────────╮│     │╭ board ──────────╮│
//! ││                 ││ a line a node   ││     ││                 ││
//! ││                 │╰─────────────────╯│     │╰─────────────────╯│
//! ││  four by four   │╭ log ────────────╮│     │╭ cluster ────────╮│
//! ││                 ││ its tail        ││     ││                 ││
//! ││                 │╰─────────────────╯│     │╰─────────────────╯│
//! ││                 │╭ events ─────────╮│     │╭ events ─────────╮│
//! ││                 ││                 ││     ││                 ││
//! │╰─────────────────╯╰─────────────────╯│     │╰─────────────────╯│
//! │ keys                                 │     │ keys              │
//! └──────────────────────────────────────┘     └───────────────────┘
//!
//! 40x12                  smaller
//! ┌───────────────────┐  ┌──────────────┐
//! │ header            │  │ one sentence │
//! │ board, no frame   │  └──────────────┘
//! └───────────────────┘
//! ```
//!
//! The board comes first: whatever else there is gets the room that the board leaves. From narrow
//! to tall, the table of nodes, the events, and last the log find their places.
//!
//! `plan` decides, the views in the submodules draw one region each, and [`player_at`] asks the
//! same plan which square a click means.
//!
//! Caveat: widths are counted in terminal columns as Unicode gives them; a terminal that draws
//! ambiguous characters two columns wide (an option in East Asian locales) shows crooked frames.

mod board;
mod cluster;
mod events;
mod header;
mod help;
mod log;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Widget};

use crate::raft::NodeId;

use super::app::App;

/// The smallest screen that shows the board: columns and rows.
pub const SMALLEST: (u16, u16) = (40, 12);

/// From this width on, the board shares its rows with the other panels.
const SIDE_BY_SIDE: u16 = 80;
/// The least width of the panels beside the board.
const SIDE: u16 = 40;
/// The least height of the board, without its frame.
const BOARD_ROWS: u16 = 11;
/// A panel with this many rows has room for two lines.
const PANEL_ROWS: u16 = 4;

/// Where each region goes. A region without room is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Plan {
    header: Rect,
    board: Rect,
    board_framed: bool,
    cluster: Option<Rect>,
    log: Option<Rect>,
    events: Option<Rect>,
    footer: Option<Rect>,
}

/// Draws the whole screen.
pub fn draw(app: &App, frame: &mut Frame) {
    let area = frame.area();
    render(app, area, frame.buffer_mut());
}

/// Draws the whole screen into a buffer.
pub fn render(app: &App, area: Rect, buffer: &mut Buffer) {
    let Some(plan) = plan(area, app.nodes.len() as u16) else {
        help::too_small(area, buffer);
        return;
    };
    header::draw(app, plan.header, buffer);
    let board = match plan.board_framed {
        true => panel(app, " Board ", plan.board, buffer),
        false => plan.board,
    };
    board::draw(app, board, buffer);
    if let Some(area) = plan.cluster {
        cluster::draw(app, area, buffer);
    }
    if let Some(area) = plan.log {
        log::draw(app, area, buffer);
    }
    if let Some(area) = plan.events {
        events::draw(app, area, buffer);
    }
    if let Some(area) = plan.footer {
        header::footer(app, area, buffer);
    }
    if app.help {
        help::draw(app, area, buffer);
    }
}

/// Whose square that cell of the screen is part of.
pub fn player_at(app: &App, area: Rect, position: Position) -> Option<NodeId> {
    let plan = plan(area, app.nodes.len() as u16)?;
    let board = match plan.board_framed {
        true => Block::bordered().inner(plan.board),
        false => plan.board,
    };
    let grid = board::Grid::new(board);
    app.board
        .iter()
        .find(|player| grid.square(player.square).contains(position))
        .map(|player| player.id)
}

/// Where everything goes, or `None` when there is no room for a board.
fn plan(area: Rect, nodes: u16) -> Option<Plan> {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return None;
    }
    let (header, mut body) = cut_top(area, 1);
    let mut footer = None;
    if area.height > SMALLEST.1 {
        let (rest, keys) = cut_top(body, body.height - 1);
        (body, footer) = (rest, Some(keys));
    }
    let plan = Plan {
        header,
        footer,
        ..Plan::default()
    };
    Some(match area.width {
        SIDE_BY_SIDE.. => side_by_side(plan, body, nodes),
        _ => stacked(plan, body, nodes),
    })
}

fn side_by_side(plan: Plan, body: Rect, nodes: u16) -> Plan {
    let width = board::Grid::framed_width(body.height).min(body.width - SIDE);
    let board = Rect { width, ..body };
    let side = Rect {
        x: body.x + width,
        width: body.width - width,
        ..body
    };
    let (cluster, rest) = cut_top(side, (nodes + 3).min(side.height));
    // Shares of what is left: the log half, but no more than the events need to say something.
    let (log, events) = match rest.height {
        0..3 => (None, None),
        3..7 => (None, Some(rest)),
        rows => {
            let (log, events) = cut_top(rest, rows / 2);
            (Some(log), Some(events))
        }
    };
    // What is too low for a panel belongs to the table above it.
    let cluster = if events.is_none() { side } else { cluster };
    Plan {
        board,
        board_framed: board.height >= BOARD_ROWS + 2,
        cluster: Some(cluster),
        log,
        events,
        ..plan
    }
}

fn stacked(plan: Plan, body: Rect, nodes: u16) -> Plan {
    let table = nodes + 3;
    let spare = body.height - BOARD_ROWS;
    if spare < table + 2 {
        return Plan {
            board: body,
            board_framed: body.height >= BOARD_ROWS + 2,
            ..plan
        };
    }
    let least = match spare - table - 2 {
        0..PANEL_ROWS => 0,
        PANEL_ROWS..8 => PANEL_ROWS,
        _ => 2 * PANEL_ROWS,
    };
    let rows = board::Grid::framed_height(body.width).min(body.height - table - least);
    let (board, rest) = cut_top(body, rows);
    let (cluster, rest) = cut_top(rest, table);
    let (events, log) = match rest.height {
        0..3 => (None, None),
        3..8 => (Some(rest), None),
        rows => {
            let (log, events) = cut_top(rest, rows / 2);
            (Some(events), Some(log))
        }
    };
    Plan {
        board,
        board_framed: true,
        cluster: Some(cluster),
        log,
        events,
        ..plan
    }
}

/// The first `rows` of an area, and the rest.
fn cut_top(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let top = Rect {
        height: rows,
        ..area
    };
    let rest = Rect {
        y: area.y + rows,
        height: area.height - rows,
        ..area
    };
    (top, rest)
}

/// A frame with a title; what is inside.
fn panel<'a>(app: &App, title: impl Into<Line<'a>>, area: Rect, buffer: &mut Buffer) -> Rect {
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(app.theme.line())
        .title(title)
        .title_style(
            Style::new()
                .fg(Color::Reset)
                .remove_modifier(Modifier::DIM)
                .add_modifier(Modifier::BOLD),
        );
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

/// At most `width` columns of a text; what is cut off leaves `…` behind.
fn fit(text: &str, width: usize) -> String {
    let columns = |c: char| Span::raw(c.encode_utf8(&mut [0; 4]) as &str).width();
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += columns(c);
        if used > width {
            let mut short: String = text[..at].to_string();
            while !short.is_empty() && Span::raw(short.as_str()).width() >= width {
                short.pop();
            }
            return match width {
                0 => String::new(),
                _ => short + "…",
            };
        }
    }
    text.to_string()
}

/// A number in at most five characters; from 100,000 on in thousands, millions and so on.
fn compact(number: u64) -> String {
    let mut rest = number;
    let mut unit = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        if rest < if unit.is_empty() { 100_000 } else { 10_000 } {
            break;
        }
        rest /= 1000;
        unit = next;
    }
    format!("{rest}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_never_needs_more_than_five_characters() {
        assert_eq!(compact(99_999), "99999");
        assert_eq!(compact(100_000), "100k");
        assert_eq!(compact(12_345_678), "12M");
        assert_eq!(compact(9_999_999), "9999k");
        assert_eq!(compact(u64::MAX), "18E");
        for power in 0..64 {
            assert!(compact(u64::MAX >> power).len() <= 5, "{power}");
        }
    }

    #[test]
    fn a_text_that_does_not_fit_says_so() {
        assert_eq!(fit("bob1", 4), "bob1");
        assert_eq!(fit("bob10", 4), "bob…");
        assert_eq!(fit("bob", 0), "");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("日本語", 6), "日本語");
    }

    #[test]
    fn regions_never_overlap_and_never_leave_the_screen() {
        for (width, height, nodes) in sizes() {
            let area = Rect::new(0, 0, width, height);
            let Some(plan) = plan(area, nodes) else {
                assert!(width < SMALLEST.0 || height < SMALLEST.1);
                continue;
            };
            let optional = [plan.cluster, plan.log, plan.events, plan.footer];
            let mut regions = vec![plan.header, plan.board];
            regions.extend(optional.into_iter().flatten());
            for (i, one) in regions.iter().enumerate() {
                assert!(!one.is_empty() && area.intersection(*one) == *one);
                for other in &regions[..i] {
                    assert!(!one.intersects(*other), "{width}x{height}: {plan:?}");
                }
            }
        }
    }

    #[test]
    fn from_80x24_on_nothing_is_missing_and_at_40x12_there_is_a_line_and_the_board() {
        for (width, height, nodes) in sizes().filter(|&(w, h, _)| w >= 80 && h >= 24) {
            let plan = plan(Rect::new(0, 0, width, height), nodes).unwrap();
            assert!(plan.board_framed && plan.footer.is_some());
            assert!(plan.cluster.unwrap().height >= nodes + 3);
            assert!(plan.log.unwrap().height >= PANEL_ROWS);
            assert!(plan.events.unwrap().height >= PANEL_ROWS);
        }
        let plan = plan(Rect::new(0, 0, 40, 12), 9).unwrap();
        assert_eq!(plan.header, Rect::new(0, 0, 40, 1));
        assert_eq!(plan.board, Rect::new(0, 1, 40, 11));
    }

    fn sizes() -> impl Iterator<Item = (u16, u16, u16)> {
        (1..=200).flat_map(|w| (1..=60).flat_map(move |h| [2, 5, 9].map(|nodes| (w, h, nodes))))
    }
}
