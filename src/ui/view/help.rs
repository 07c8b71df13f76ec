//! What lies over the screen: the help, and the sentence for a terminal that is too small.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use crate::ui::app::App;

use super::events::wrap;
use super::header::digits;
use super::{SMALLEST, panel};

/// Draws the help in the middle. It fits the smallest screen.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let mouse = match app.mouse {
        true => "free the mouse to select text",
        false => "use the mouse to attack",
    };
    let keys = [
        (digits(app), "attack that player"),
        ("click".to_string(), "attack that square"),
        ("m".to_string(), mouse),
        ("?".to_string(), "open or close this help"),
        ("q".to_string(), "quit"),
    ];
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines: Vec<Line> = keys
        .into_iter()
        .map(|(key, what)| {
            Line::from(vec![
                Span::styled(format!(" {key:>5}  "), bold),
                Span::raw(what),
            ])
        })
        .collect();
    lines.push(Line::raw(" An attack takes 30 HP. It becomes an"));
    lines.push(Line::raw(" entry in the log, and every board"));
    lines.push(Line::raw(" moves when a majority has it."));
    if area.height >= 16 {
        lines.insert(5, Line::default());
        lines.push(Line::default());
        lines.push(legend(app));
    }

    let area = area.centered(
        Constraint::Length(SMALLEST.0),
        Constraint::Length(lines.len() as u16 + 2),
    );
    Clear.render(area, buffer);
    let inner = panel(app, " Help ", area, buffer);
    for (line, row) in lines.into_iter().zip(inner.rows()) {
        line.render(row, buffer);
    }
}

/// What the fills mean.
fn legend(app: &App) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    for (hp, words) in [
        (100, "90+"),
        (70, "60+"),
        (40, "30+"),
        (10, "less"),
        (0, "dead"),
    ] {
        let look = app.theme.square(app.seat.id, hp);
        spans.push(Span::styled(look.symbol.to_string().repeat(2), look.fill));
        spans.push(Span::raw(format!(" {words} ")));
    }
    Line::from(spans)
}

/// Says what size is needed, in as many words as there is room for.
pub fn too_small(area: Rect, buffer: &mut Buffer) {
    let (width, height) = SMALLEST;
    let sentences = [
        format!(
            "Raftian needs a terminal of {width}x{height}; this one is {}x{}. Make it larger, or press q to quit.",
            area.width, area.height
        ),
        format!(
            "Raftian needs {width}x{height}, this is {}x{}.",
            area.width, area.height
        ),
        format!("needs {width}x{height}"),
        format!("{width}x{height}"),
    ];
    let fits = |lines: &Vec<String>| {
        lines.len() <= usize::from(area.height)
            && lines.iter().all(|line| line.len() <= usize::from(area.width))
            // A word in two pieces is no word.
            && lines.iter().flat_map(|line| line.split(' ')).all(|word| {
                sentences.iter().any(|sentence| sentence.split(' ').any(|whole| whole == word))
            })
    };
    let lines = sentences
        .iter()
        .map(|sentence| wrap(sentence, usize::from(area.width)))
        .find(fits)
        .unwrap_or_default();
    let top = (area.height - lines.len() as u16) / 2;
    for (line, row) in lines.into_iter().zip(area.rows().skip(usize::from(top))) {
        Line::raw(line).centered().render(row, buffer);
    }
}
