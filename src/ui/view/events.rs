//! The feed: what happened, newest at the bottom.
//!
//! ```text
//!  0:01 ◆ term 1: bob2 leads
//!  0:07 ● bob1 hits bob3: 70 HP
//!  0:09 ╳ bob2 kills bob3
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::ui::app::{App, Event, EventKind};

use super::panel;

/// Draws the end of the feed in its frame.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let inner = panel(app, " Events ", area, buffer);
    let rows = usize::from(inner.height);
    if app.events.is_empty()
        && let Some(row) = inner.rows().next()
    {
        Line::styled("nothing yet", app.theme.faint()).render(row, buffer);
    }
    // From the newest backwards, until the panel is full.
    let mut lines: Vec<Line> = Vec::new();
    for event in app.events.iter().rev() {
        if lines.len() >= rows {
            break;
        }
        lines.extend(
            event_lines(app, event, usize::from(inner.width))
                .into_iter()
                .rev(),
        );
    }
    lines.truncate(rows);
    for (line, row) in lines.into_iter().rev().zip(inner.rows()) {
        line.render(row, buffer);
    }
}

fn event_lines(app: &App, event: &Event, width: usize) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let (mark, mark_style, style) = match event.kind {
        EventKind::Election(term) => ("◆", app.theme.term(term), app.theme.term(term)),
        EventKind::Hit(id) => ("●", app.theme.player(id), Style::new()),
        EventKind::Death(id) => ("╳", app.theme.player(id), bold),
        EventKind::Members => ("±", app.theme.faint(), Style::new()),
        EventKind::Win(id) => ("★", app.theme.player(id), app.theme.player(id)),
        EventKind::Failure => ("!", app.theme.bad(), app.theme.bad()),
    };
    let seconds = event.at.as_secs();
    let time = format!("{:>2}:{:02} ", seconds / 60, seconds % 60);
    let indent = time.len() + 2;
    let mut lines = Vec::new();
    for words in wrap(&event.text, width.saturating_sub(indent)) {
        lines.push(if lines.is_empty() {
            Line::from(vec![
                Span::styled(time.clone(), app.theme.faint()),
                Span::styled(mark, mark_style),
                Span::styled(format!(" {words}"), style),
            ])
        } else {
            Line::styled(format!("{:indent$}{words}", ""), style)
        });
    }
    lines
}

/// The text in lines of at most `width` columns, broken between words where that is possible.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut rest = word;
        loop {
            let line = lines.last_mut().expect("there is always a last line");
            let gap = usize::from(!line.is_empty());
            let used = Span::raw(line.as_str()).width() + gap;
            if used + Span::raw(rest).width() <= width {
                line.push_str(&" "[..gap]);
                line.push_str(rest);
                break;
            }
            if !line.is_empty() {
                lines.push(String::new());
                continue;
            }
            // A word that is longer than a line fills it, at least by one character.
            let cut = cut_at(rest, width);
            line.push_str(&rest[..cut]);
            rest = &rest[cut..];
            if rest.is_empty() {
                break;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// How many bytes of a text fit in `width` columns; at least one character.
fn cut_at(text: &str, width: usize) -> usize {
    let mut ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let first = ends.next().unwrap_or(0);
    let fits = |end: &usize| Span::raw(&text[..*end]).width() <= width;
    ends.take_while(fits).last().unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_where_they_must() {
        assert_eq!(wrap("attack 3 failed", 10), ["attack 3", "failed"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 3), [""]);
        assert_eq!(wrap("日本", 1), ["日", "本"]);
    }
}
