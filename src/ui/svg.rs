//! A screen as an SVG picture: the real cells of a real frame.
//!
//! [`replay`] feeds updates to an [`App`] at their moments and draws the last frame into a buffer;
//! [`svg`] turns any buffer into a picture. Text stays text, each character at its own column, so
//! that it can be read and selected whatever font there is; frames and fills are shapes, so that
//! they join.
//!
//! Caveats: the colours of the terminal's own palette are a choice made here. Characters that are
//! wider than a column, underlines under blanks and blinking are drawn plainly or not at all.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::node::queues::Update;

use super::Seat;
use super::app::App;
use super::theme::{LEVELS, Theme};
use super::view;

/// A column's width, a row's height and the size of the type, in pixels.
const COLUMN: f32 = 9.0;
const ROW: f32 = 19.0;
const TYPE: f32 = 15.0;
/// From the top of a row down to the line on which letters stand.
const BASELINE: f32 = 14.2;
/// Around the screen; above it, the window's buttons.
const MARGIN: f32 = 16.0;
const TITLE: f32 = 34.0;

const PAPER: &str = "#12141a";
const INK: &str = "#d6dae4";

/// The last frame after these updates, each at its time since the start.
pub fn replay(
    seat: Seat,
    theme: Theme,
    (width, height): (u16, u16),
    updates: impl IntoIterator<Item = (Duration, Update)>,
) -> Buffer {
    let start = Instant::now();
    let mut app = App::new(seat, theme, start);
    for (at, update) in updates {
        app.tick(start + at);
        app.update(update, start + at);
    }
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view::render(&app, area, &mut buffer);
    buffer
}

/// The picture of a screen, with a title that is read out to those who do not see it.
pub fn svg(buffer: &Buffer, title: &str) -> String {
    let area = buffer.area;
    let width = f32::from(area.width) * COLUMN + 2.0 * MARGIN;
    let height = f32::from(area.height) * ROW + TITLE + MARGIN;
    let title = escape(title);
    let mut svg = format!(
        concat!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" ",
            "viewBox=\"0 0 {w} {h}\" role=\"img\" font-size=\"{size}\" ",
            "font-family=\"ui-monospace, 'SF Mono', Menlo, 'DejaVu Sans Mono', Consolas, monospace\">\n",
            "<title>{title}</title>\n",
            "<rect width=\"{w}\" height=\"{h}\" rx=\"10\" fill=\"{paper}\"/>\n",
            "<g opacity=\"0.9\"><circle cx=\"20\" cy=\"17\" r=\"5.5\" fill=\"#e5534b\"/>",
            "<circle cx=\"38\" cy=\"17\" r=\"5.5\" fill=\"#d8a425\"/>",
            "<circle cx=\"56\" cy=\"17\" r=\"5.5\" fill=\"#3fa34d\"/></g>\n",
        ),
        w = width,
        h = height,
        size = TYPE,
        title = title,
        paper = PAPER,
    );
    for y in area.top()..area.bottom() {
        let row: Vec<Drawn> = (area.left()..area.right())
            .map(|x| Drawn::new(&buffer[(x, y)]))
            .collect();
        let top = TITLE + f32::from(y - area.y) * ROW;
        backgrounds(&mut svg, &row, top);
        for (column, cell) in row.iter().enumerate() {
            shape(&mut svg, cell, MARGIN + column as f32 * COLUMN, top);
        }
        texts(&mut svg, &row, top);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A cell as it is drawn: colours resolved.
#[derive(Clone, PartialEq)]
struct Drawn {
    symbol: String,
    ink: String,
    paper: Option<String>,
    bold: bool,
    dim: bool,
    underlined: bool,
}

impl Drawn {
    fn new(cell: &Cell) -> Drawn {
        let has = |modifier| cell.modifier.contains(modifier);
        let (mut ink, mut paper) = (css(cell.fg), css(cell.bg));
        if has(Modifier::REVERSED) {
            (ink, paper) = (
                Some(paper.unwrap_or_else(|| PAPER.to_string())),
                Some(ink.unwrap_or_else(|| INK.to_string())),
            );
        }
        Drawn {
            symbol: cell.symbol().to_string(),
            ink: ink.unwrap_or_else(|| INK.to_string()),
            paper,
            bold: has(Modifier::BOLD),
            dim: has(Modifier::DIM),
            underlined: has(Modifier::UNDERLINED),
        }
    }

    /// Drawn as letters; the rest are shapes or nothing.
    fn is_text(&self) -> bool {
        self.symbol != " " && stroke(&self.symbol).is_none() && shade(&self.symbol).is_none()
    }

    fn same_style(&self, other: &Drawn) -> bool {
        (&self.ink, self.bold, self.dim, self.underlined)
            == (&other.ink, other.bold, other.dim, other.underlined)
    }
}

/// What is behind the cells, a rectangle for each run of one colour.
fn backgrounds(svg: &mut String, row: &[Drawn], top: f32) {
    let solid = |cell: &Drawn| match shade(&cell.symbol) {
        Some(1.0) => Some(cell.ink.clone()),
        _ => cell.paper.clone(),
    };
    let mut column = 0;
    for run in row.chunk_by(|a, b| solid(a) == solid(b)) {
        if let Some(colour) = solid(&run[0]) {
            let _ = writeln!(
                svg,
                r#"<rect x="{}" y="{top}" width="{}" height="{}" fill="{colour}" shape-rendering="crispEdges"/>"#,
                MARGIN + column as f32 * COLUMN,
                run.len() as f32 * COLUMN,
                ROW,
            );
        }
        column += run.len();
    }
}

/// Shades and lines.
fn shape(svg: &mut String, cell: &Drawn, x: f32, y: f32) {
    if let Some(opacity) = shade(&cell.symbol).filter(|&opacity| opacity < 1.0) {
        dots(svg, cell, x, y, opacity);
    }
    if let Some(path) = stroke(&cell.symbol) {
        let opacity = if cell.dim { r#" opacity="0.6""# } else { "" };
        let _ = writeln!(
            svg,
            r#"<path transform="translate({x} {y})" d="{path}" fill="none" stroke="{}"{opacity}/>"#,
            cell.ink
        );
    }
}

/// A shade as terminals draw it: a screen of dots. Three columns by six rows of them a cell.
fn dots(svg: &mut String, cell: &Drawn, x: f32, y: f32, opacity: f32) {
    let (step_x, step_y) = (COLUMN / 4.0, ROW / 8.0);
    let mut path = String::new();
    for row in 0..8 {
        for column in 0..4 {
            let on = match opacity {
                o if o > 0.7 => !(row % 2 == 1 && column % 2 == (row / 2) % 2),
                o if o > 0.4 => (row + column) % 2 == 0,
                _ => row % 2 == 0 && column % 2 == (row / 2) % 2,
            };
            if on {
                let (left, up) = (column as f32 * step_x, row as f32 * step_y);
                let _ = write!(path, "M{left} {up}h{step_x}v{step_y}h-{step_x}z");
            }
        }
    }
    let _ = writeln!(
        svg,
        r#"<path transform="translate({x} {y})" d="{path}" fill="{}"/>"#,
        cell.ink
    );
}

/// Text, an element for each run of one style.
fn texts(svg: &mut String, row: &[Drawn], top: f32) {
    let mut column = 0;
    // Blanks between words take the style of the word before them.
    for run in row.chunk_by(|a, b| a.is_text() && b.is_text() && a.same_style(b)) {
        if run[0].is_text() {
            let columns: Vec<String> = (0..run.len())
                .map(|i| format!("{}", MARGIN + (column + i) as f32 * COLUMN))
                .collect();
            let text: String = run.iter().map(|cell| escape(&cell.symbol)).collect();
            let style = &run[0];
            let mut attributes = String::new();
            if style.bold {
                attributes += r#" font-weight="bold""#;
            }
            if style.dim {
                attributes += r#" opacity="0.6""#;
            }
            if style.underlined {
                attributes += r#" text-decoration="underline""#;
            }
            let _ = writeln!(
                svg,
                r#"<text y="{}" x="{}" fill="{}"{attributes}>{text}</text>"#,
                top + BASELINE,
                columns.join(" "),
                style.ink,
            );
        }
        column += run.len();
    }
}

/// How much of a cell a block element covers.
fn shade(symbol: &str) -> Option<f32> {
    Some(match symbol {
        "█" => 1.0,
        "▓" => 0.75,
        "▒" => 0.5,
        "░" => 0.25,
        _ => return None,
    })
}

/// A line element as a path in its cell.
fn stroke(symbol: &str) -> Option<String> {
    let (w, h) = (COLUMN, ROW);
    let (x, y) = (w / 2.0, h / 2.0);
    Some(match symbol {
        "─" => format!("M0 {y}H{w}"),
        "│" => format!("M{x} 0V{h}"),
        "╭" => format!("M{x} {h}V{}Q{x} {y} {w} {y}", y + x),
        "╮" => format!("M{x} {h}V{}Q{x} {y} 0 {y}", y + x),
        "╰" => format!("M{x} 0V{}Q{x} {y} {w} {y}", y - x),
        "╯" => format!("M{x} 0V{}Q{x} {y} 0 {y}", y - x),
        "╳" => format!("M0 0L{w} {h}M{w} 0L0 {h}"),
        _ => return None,
    })
}

/// A colour in CSS; `None` is the terminal's own.
fn css(colour: Color) -> Option<String> {
    let hex = |r: u8, g: u8, b: u8| Some(format!("#{r:02x}{g:02x}{b:02x}"));
    let name = |index: usize| {
        const PALETTE: [&str; 16] = [
            "#1b1d24", "#cc4b45", "#4a9e5c", "#c29a2e", "#4a78cf", "#a95fb3", "#3a9ea8", "#c3c7d0",
            "#6b7080", "#f0716b", "#6cc381", "#e6c152", "#7aa2f0", "#cf86d8", "#63c5cf", "#ffffff",
        ];
        Some(PALETTE[index].to_string())
    };
    match colour {
        Color::Reset => None,
        Color::Black => name(0),
        Color::Red => name(1),
        Color::Green => name(2),
        Color::Yellow => name(3),
        Color::Blue => name(4),
        Color::Magenta => name(5),
        Color::Cyan => name(6),
        Color::Gray => name(7),
        Color::DarkGray => name(8),
        Color::LightRed => name(9),
        Color::LightGreen => name(10),
        Color::LightYellow => name(11),
        Color::LightBlue => name(12),
        Color::LightMagenta => name(13),
        Color::LightCyan => name(14),
        Color::White => name(15),
        Color::Rgb(r, g, b) => hex(r, g, b),
        Color::Indexed(index @ 0..16) => name(usize::from(index)),
        Color::Indexed(index @ 16..232) => {
            let cube = usize::from(index - 16);
            hex(LEVELS[cube / 36], LEVELS[cube / 6 % 6], LEVELS[cube % 6])
        }
        Color::Indexed(index) => {
            let grey = 8 + 10 * (index - 232);
            hex(grey, grey, grey)
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn text_keeps_its_columns_and_fills_become_shapes() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        buffer.set_string(0, 0, "a<", Style::new().fg(Color::Rgb(1, 2, 3)));
        buffer.set_string(3, 0, "██╭", Style::new().fg(Color::Indexed(196)));
        let svg = svg(&buffer, "A & B");
        assert!(svg.contains("<title>A &amp; B</title>"));
        assert!(
            svg.contains(r##"x="16 25" fill="#010203">a&lt;</text>"##),
            "{svg}"
        );
        assert!(svg.contains(r##"x="43" y="34" width="18" height="19" fill="#ff0000""##));
        assert!(svg.contains("<path") && !svg.contains('█'));
    }

    #[test]
    fn the_picture_is_well_formed() {
        let seat = Seat {
            id: 1,
            players: vec![(1, "a<b".to_string()), (2, "\"&".to_string())],
            title: "<>".to_string(),
            watches: false,
        };
        let theme = Theme::new(crate::ui::theme::Depth::True);
        let svg = svg(&replay(seat, theme, (80, 24), []), "t");
        let mut reader = quick_xml::Reader::from_str(&svg);
        // Tags that do not match, or a bare `<` or `&`, are an error of the reader.
        reader.config_mut().allow_dangling_amp = false;
        while reader.read_event().unwrap() != quick_xml::events::Event::Eof {}
    }
}
