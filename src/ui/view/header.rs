//! The first and the last line.
//!
//! ```text
//!  Raftian - you are bob1 (player 1)                              bob2 leads term 4
//!  1-5 attack   click a square   ? help   m free the mouse   q quit
//! ```
//!
//! On the left, what has just happened, for half a second; otherwise who sits here or who has won.
//! On the right, if there is room, whom the cluster follows. Without room the search for a leader
//! replaces the greeting, because a board that does not move needs its reason.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::ui::app::App;

use super::fit;

/// Draws the first line.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.width);
    let right = leadership(app);
    let left = match &app.notice {
        Some(notice) => {
            let style = match notice.player {
                Some(id) => app.theme.badge(id),
                None => app.theme.alarm(),
            };
            let text = format!(" {} ", fit(&notice.text, room.saturating_sub(2)));
            Line::from(Span::styled(text, style))
        }
        None => greeting(app, room, right.width()),
    };
    let fits = left.width() + 2 + right.width() < room;
    left.render(area, buffer);
    if fits {
        right.right_aligned().render(
            Rect {
                width: area.width - 1,
                ..area
            },
            buffer,
        );
    }
}

/// Who sits here, in as many words as there is room for.
fn greeting(app: &App, room: usize, right: usize) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let me = format!("you are {} (player {})", app.name(app.seat.id), app.seat.id);
    let (first, style) = if let Some(winner) = app.winner() {
        (format!("{} wins", winner.name), app.theme.badge(winner.id))
    } else {
        ("Raftian".to_string(), bold)
    };
    let whole = format!(" {first} - {me}");
    if app.leader.is_none() && app.winner().is_none() && whole.len() + right + 3 > room {
        let text = format!(" looking for a leader - player {}", app.seat.id);
        return Line::styled(fit(&text, room), app.theme.busy());
    }
    Line::from(vec![
        Span::styled(format!(" {first} "), style),
        Span::raw(fit(
            &format!("- {me}"),
            room.saturating_sub(first.len() + 2),
        )),
    ])
}

/// Whom the cluster follows, as far as this node knows.
fn leadership(app: &App) -> Line<'static> {
    match app.leader {
        None => Line::styled("looking for a leader", app.theme.busy()),
        Some(id) => Line::from(vec![
            Span::styled(
                if id == app.seat.id {
                    "you lead".to_string()
                } else {
                    format!("{} leads", fit(&app.name(id), 16))
                },
                app.theme.good().add_modifier(Modifier::BOLD),
            ),
            Span::styled(format!(" term {}", app.term), app.theme.term(app.term)),
        ]),
    }
}

/// Draws the last line: the keys, as many as there is room for.
pub fn footer(app: &App, area: Rect, buffer: &mut Buffer) {
    let mouse = if app.mouse {
        "free the mouse"
    } else {
        "use the mouse"
    };
    let digits = digits(app);
    // Without room, whatever comes after the digits gives way first; the last two never do.
    let mut keys = vec![
        (digits.as_str(), "attack"),
        ("click", "attack"),
        ("m", mouse),
        ("?", "help"),
        ("q", "quit"),
    ];
    if !app.mouse {
        keys.remove(1);
    }
    let width = |keys: &[(&str, &str)]| -> usize {
        keys.iter()
            .map(|(key, what)| key.len() + what.len() + 4)
            .sum()
    };
    while width(&keys) > usize::from(area.width) && keys.len() > 2 {
        keys.remove(1);
    }
    let mut spans = Vec::new();
    for (key, what) in keys {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        spans.push(Span::styled(format!(" {key}"), bold));
        spans.push(Span::styled(format!(" {what}  "), app.theme.faint()));
    }
    Line::from(spans).render(area, buffer);
}

/// The keys that attack: `1-5`, or each of them where there are gaps.
pub fn digits(app: &App) -> String {
    let ids: Vec<_> = app.board.iter().map(|player| player.id).collect();
    match (ids.first(), ids.last()) {
        (Some(first), Some(last)) if last - first + 1 == ids.len() as u64 && first != last => {
            format!("{first}-{last}")
        }
        _ => ids.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
    }
}
