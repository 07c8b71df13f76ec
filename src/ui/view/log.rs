//! The tail of the log, newest at the bottom, coloured by term.
//!
//! ```text
//! ✓    11  t4  attack 3
//! ✓    12  t4  attack 1
//! ─── waiting for a majority ───
//! ·    13  t4  attack 2
//! ```
//!
//! `✓` is committed and `·` is not yet; where there is room a line says so between them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::node::queues::LogLine;
use crate::ui::app::App;

use super::{compact, fit, panel};

/// Draws the tail in its frame.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let (commit, last) = match &app.view {
        Some(view) => (view.status.commit_index, view.status.last_index),
        None => (0, 0),
    };
    let title = Line::from(vec![
        Span::raw(" Log "),
        Span::styled(
            format!(
                "{} of {} committed ",
                compact(commit.min(last)),
                compact(last)
            ),
            app.theme.faint().remove_modifier(Modifier::BOLD),
        ),
    ]);
    let inner = panel(app, title, area, buffer);
    let rows = usize::from(inner.height);
    let Some(view) = app.view.as_ref().filter(|view| !view.tail.is_empty()) else {
        if let Some(row) = inner.rows().next() {
            Line::styled("empty", app.theme.faint()).render(row, buffer);
        }
        return;
    };
    let tail = &view.tail[view.tail.len().saturating_sub(rows)..];
    let committed = tail.iter().filter(|line| line.index <= commit).count();
    let width = usize::from(inner.width);
    let mut lines: Vec<Line> = tail.iter().map(|l| entry(app, l, commit, width)).collect();
    if committed > 0 && committed < lines.len() && rows >= 4 {
        let words = " waiting for a majority ";
        let dashes = "─".repeat(width.saturating_sub(words.len()) / 2);
        let between = format!("{dashes}{words}{dashes}");
        lines.insert(committed, Line::styled(between, app.theme.faint()));
    }
    let hidden = lines.len().saturating_sub(rows);
    for (line, row) in lines.into_iter().skip(hidden).zip(inner.rows()) {
        line.render(row, buffer);
    }
}

fn entry(app: &App, line: &LogLine, commit: u64, width: usize) -> Line<'static> {
    let style = app.theme.term(line.term);
    let committed = line.index <= commit;
    let (mark, mark_style, style) = if committed {
        ("✓", app.theme.good(), style)
    } else {
        ("·", app.theme.busy(), style.add_modifier(Modifier::DIM))
    };
    let position = format!(" {:>5}  t{:<4} ", compact(line.index), compact(line.term));
    let room = width.saturating_sub(position.len() + 1);
    Line::from(vec![
        Span::styled(mark, mark_style),
        Span::styled(position, app.theme.faint()),
        Span::styled(fit(&line.text, room), style),
    ])
}
